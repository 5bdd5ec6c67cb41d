"""Two hosts: databases live on both by playbook alone, and the tenants of one cannot reach the other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.fleet.support import answers, on_host, refuses
from tests.scenarios import hosts
from tests.scenarios.plays import changed, connect, playbook
from tests.support.dataplane import verifier

AUTHORITY = hosts.home("databases") / "tls/ca.crt"
ONE, TWO = hosts.fleet("databases").hosts()


def converge(tmp_path: Path, host: str, *databases: dict[str, Any]) -> int:
    """Run databases.yml as the worker does: as the agent, without root. How many tasks changed something."""
    variables = tmp_path / "tenants.json"
    variables.write_text(json.dumps({"tenant_databases": list(databases)}))
    inventory = hosts.home("databases") / "worker.yml"
    return changed(playbook("databases", "-i", inventory, "-l", host, "-e", f"@{variables}"))


def present(password: str, **more: Any) -> dict[str, Any]:
    return {"name": "shop", "state": "present", "verifier": verifier(password), **more}


def test_a_database_lives_and_goes(tmp_path: Path) -> None:
    first = present("first")
    assert converge(tmp_path, "db1", first) >= 1
    assert converge(tmp_path, "db1", first) == 0
    with connect(ONE.address, "shop", "first", AUTHORITY) as connection:
        connection.execute("CREATE TABLE goods AS SELECT 7 AS id")
    converge(tmp_path, "db1", {**first, "state": "stopped"})
    with pytest.raises(psycopg.OperationalError):
        connect(ONE.address, "shop", "first", AUTHORITY)
    converge(tmp_path, "db1", present("second"))
    with pytest.raises(psycopg.OperationalError):
        connect(ONE.address, "shop", "first", AUTHORITY)
    with connect(ONE.address, "shop", "second", AUTHORITY) as connection:
        assert connection.execute("SELECT id FROM goods").fetchone() == (7,)
    converge(tmp_path, "db1", {"name": "shop", "state": "absent"})
    with pytest.raises(psycopg.OperationalError):
        connect(ONE.address, "shop", "second", AUTHORITY)


def test_tenants_of_one_host_cannot_reach_the_other(tmp_path: Path) -> None:
    """The same name on both, with another password each: that is all a tenant could try with."""
    converge(tmp_path, "db1", present("of one"), {**present("mine"), "name": "lone"})
    converge(tmp_path, "db2", present("of two"))
    with connect(ONE.address, "shop", "of one", AUTHORITY), connect(TWO.address, "shop", "of two", AUTHORITY):
        pass
    for name, password in (("shop", "of one"), ("lone", "mine"), ("postgres", "of one"), ("dbhost_provisioner", "")):
        with pytest.raises(psycopg.OperationalError):
            connect(TWO.address, name, password, AUTHORITY)
    assert not answers(TWO.address, 5432)
    probe = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"
    assert "timed out" in refuses(ONE, f'python3 -c "{probe}" {TWO.address} 5432')
    on_host(ONE, f'python3 -c "{probe}" {TWO.address} 6432')


def test_tombstones_go_when_pgbouncer_starts_again(tmp_path: Path) -> None:
    converge(tmp_path, "db1", {**present("gone"), "name": "gone"}, present("stays"))
    converge(tmp_path, "db1", {"name": "gone", "state": "absent"})
    assert '"gone"' in on_host(ONE, "sudo cat /etc/pgbouncer/userlist.txt")
    on_host(ONE, "sudo systemctl restart pgbouncer")
    users = on_host(ONE, "sudo cat /etc/pgbouncer/userlist.txt")
    assert '"gone"' not in users
    assert '"shop"' in users
    with connect(ONE.address, "shop", "stays", AUTHORITY):
        pass
    assert converge(tmp_path, "db1", {"name": "gone", "state": "absent"}) == 0
