"""From a host's report to a database that is read-only, shut, and open again: the worker on a real host."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.orm import Session

from tests.support.dataplane import DataPlane, verifier
from tests.support.rows import make_database, make_user
from tests.worker.conftest import Workers, wait_until
from webapp.models import Database, Host
from webapp.services import storage_limits
from webapp.services.actors import SYSTEM
from webapp.worker import environment

MIB = 2**20
# An empty database takes 7 to 8 MiB.
PLANS = '[business]\ntitle = "Business"\ndatabases = 20\nstorage_bytes = {bytes}\napi = true\n'
FILL = "CREATE UNLOGGED TABLE {} AS SELECT repeat('x', 1000) AS filler FROM generate_series(1, {} * 1000)"


@pytest.fixture
def password() -> str:
    return secrets.token_urlsafe(12)


@pytest.fixture
def shop(session: Session, host: Host, dataplane: DataPlane, password: str) -> Iterator[Database]:
    row = make_database(session, host, make_user(session), status="active", verifier=verifier(password))
    [made] = dataplane.converge({"name": row.name, "generation": row.generation, "verifier": row.verifier})
    assert made["error"] is None
    session.commit()
    yield row
    dataplane.converge({"name": row.name, "state": "absent"})


def became(session: Session, shop: Database, state: str) -> None:
    """Wait until it is so, on the host too."""

    def holds() -> bool:
        session.expire_all()
        return (shop.storage_state, shop.applied_generation) == (state, shop.generation)

    wait_until(holds, timeout_s=120, message=f"it did not become {state}")


def test_read_only_shut_and_open_again(
    workers: Workers, dataplane: DataPlane, session: Session, shop: Database, password: str, tmp_path: Path,
) -> None:  # fmt: skip
    plans = tmp_path / "plans.toml"
    plans.write_text(PLANS.format(bytes=24 * MIB))
    workers.start(
        playbook=environment.PLAYBOOK, DBHOST_SAMPLE_EVERY_S="1", DBHOST_PLANS_FILE=str(plans),
        DBHOST_INVENTORY=str(dataplane.inventory("local")),
    )  # fmt: skip
    with dataplane.connect(shop.name, password) as client:
        client.execute(FILL.format("goods", 20))
    became(session, shop, "read_only")
    assert shop.status == "active"
    with dataplane.connect(shop.name, password) as client:
        assert client.execute("SELECT count(*) FROM goods").fetchone() == (20_000,)
        with pytest.raises(errors.ReadOnlySqlTransaction):
            client.execute(FILL.format("more", 1))
        client.execute("SET default_transaction_read_only = off")  # a tenant that tries to get around it
        client.execute(FILL.format("more", 24))
    became(session, shop, "shut")
    with pytest.raises(psycopg.OperationalError):
        dataplane.connect(shop.name, password)

    storage_limits.clean_up(session, SYSTEM, shop)
    session.commit()
    became(session, shop, "read_only")
    with dataplane.connect(shop.name, password) as client:
        with pytest.raises(errors.ReadOnlySqlTransaction):
            client.execute("INSERT INTO goods VALUES ('x')")
        client.execute("BEGIN READ WRITE; DROP TABLE more; TRUNCATE goods; COMMIT")
    became(session, shop, "open")
    with dataplane.connect(shop.name, password) as client:
        client.execute("INSERT INTO goods VALUES ('x')")
