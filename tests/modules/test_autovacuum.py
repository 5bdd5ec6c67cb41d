"""Autovacuum in a tenant's database, whose processes only a superuser may end, holds no change up."""

import time
from collections.abc import Iterator

import pytest

from tests.support import dumps
from tests.support.dataplane import DataPlane

WAIT_S = 60
# A vacuum of some hundred pages that rests a tenth of a second at each.
SLOW = "autovacuum_vacuum_threshold = 1, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1"
ON = ("autovacuum = on", "autovacuum_naptime = '1s'")


@pytest.fixture
def vacuumed(dataplane: DataPlane, tenants) -> Iterator:
    """A tenant in whose database a vacuum is under way."""
    tenant = tenants()
    dataplane.converge(tenant.item())
    with dataplane.connect(tenant.name, tenant.password) as connection:
        connection.execute(f"CREATE TABLE big WITH ({SLOW}) AS SELECT generate_series(1, 200000) AS i")
        connection.execute("DELETE FROM big")
    with dataplane.superuser() as superuser:
        for setting in ON:
            superuser.execute(f"ALTER SYSTEM SET {setting}")
        superuser.execute("SELECT pg_reload_conf()")
        wait_for_vacuum(superuser, tenant.name)
        yield tenant
        for setting in ON:
            superuser.execute(f"ALTER SYSTEM RESET {setting.split()[0]}")
        superuser.execute("SELECT pg_reload_conf()")


def wait_for_vacuum(superuser, name: str) -> None:
    query = "SELECT FROM pg_stat_activity WHERE datname = %s AND backend_type = 'autovacuum worker'"
    deadline = time.monotonic() + WAIT_S
    while not superuser.execute(query, [name]).fetchall():
        assert time.monotonic() < deadline, "No vacuum has begun."
        time.sleep(0.05)


def test_a_restore_takes_the_databases_place(dataplane: DataPlane, vacuumed) -> None:
    done = dumps.restore(dataplane, vacuumed.name, dumps.uploaded(dataplane, b"CREATE TABLE mine (i int);\n"))
    assert done["error"] is None
    with dataplane.connect(vacuumed.name, vacuumed.password) as connection:
        assert connection.execute("SELECT to_regclass('mine')::text").fetchone() == ("mine",)


@pytest.mark.parametrize("change", [{"disconnect": True}, {"state": "stopped"}, {"state": "absent"}])
def test_a_change_that_cuts_clients_goes_on(dataplane: DataPlane, vacuumed, change) -> None:
    [done] = dataplane.converge(vacuumed.item(**change))
    assert done["error"] is None
