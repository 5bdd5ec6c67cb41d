"""`up --hosts 2`: production roles on real hosts, databases placed on both, and everything gone afterwards."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.fleet.support import Machine, on_host, refuses
from tests.support.stack import CHECKOUT, Stack
from webapp.fleet import Fleet
from webapp.fleet.fleet import IMAGES_VARIABLE

pytestmark = [pytest.mark.slow, pytest.mark.stack]
NAMES = ("first", "second")


@pytest.fixture(scope="module")
def stack(images: Path) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="dbhost-fleet-") as folder:
        stack = Stack(Path(folder) / "home")
        stack.env[IMAGES_VARIABLE] = str(images)
        before = Machine.now()
        try:
            stack.dbhost("up", "--hosts", "2", "--detach")
            yield stack
        finally:
            fleet = Fleet(stack.home)
            stack.purge()
        assert before.left_by(fleet) == []
        assert not stack.home.exists()


@pytest.fixture(scope="module")
def fleet(stack: Stack) -> Fleet:
    return Fleet(stack.home)


@pytest.fixture(scope="module")
def databases(stack: Stack) -> dict[str, dict[str, Any]]:
    """Two databases, made through the API."""
    stack.dbhost("user", "create", "alice@example.org")
    key = stack.dbhost("api-key", "create", "--user", "alice@example.org").stdout.strip()
    with stack.client(key) as client:
        return {name: client.post("/databases", json={"name": name, "displayName": name}).json() for name in NAMES}


def connect(stack: Stack, database: dict[str, Any], **more: Any) -> psycopg.Connection:
    return psycopg.connect(
        host=database["host"],
        port=database["port"],
        dbname=database["database"],
        user=database["username"],
        password=database["password"],
        sslmode="verify-full",
        sslrootcert=stack.home / "tls" / "ca.crt",
        connect_timeout=10,
        **more,
    )


def host_yml(fleet: Fleet, *options: str) -> subprocess.CompletedProcess[str]:
    playbook = Path(sys.executable).with_name("ansible-playbook")
    command = [playbook, "-i", fleet.names.inventory_file, CHECKOUT / "playbooks/host.yml", "-l", "db1", *options]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=200)


def changed(run: subprocess.CompletedProcess[str]) -> int:
    assert run.returncode == 0, run.stdout + run.stderr
    [count] = re.findall(r"changed=(\d+)", run.stdout)
    return int(count)


def test_databases_are_placed_on_both_hosts(stack: Stack, fleet: Fleet, databases: dict[str, dict[str, Any]]) -> None:
    assert {database["host"] for database in databases.values()} == {host.address for host in fleet.hosts()}
    for database in databases.values():
        with connect(stack, database) as connection:
            assert connection.execute("SELECT current_user::text").fetchone() == (database["name"],)


def test_status_names_the_hosts(stack: Stack, fleet: Fleet) -> None:
    told = stack.status()["hosts"]
    assert told == [{"name": host.name, "address": host.address, "state": "running"} for host in fleet.hosts()]


def test_a_drift_is_predicted_and_taken_back(fleet: Fleet) -> None:
    """That the numbers are exact says also that nothing else changes when host.yml runs again."""
    host = fleet.hosts()[0]
    rules = "/etc/postgresql/17/main/pg_hba.conf"
    on_host(host, f"echo 'local all all trust' | sudo tee -a {rules}; sudo systemctl stop pgbouncer")
    predicted = host_yml(fleet, "--check", "--diff")
    assert "-local all all trust" in predicted.stdout
    assert changed(predicted) == 3  # the rules, their reload, PgBouncer
    assert "trust" in on_host(host, f"sudo cat {rules}")
    assert changed(host_yml(fleet)) == 3
    assert "trust" not in on_host(host, f"sudo cat {rules}")


def test_an_old_pgbouncer_is_refused_unless_allowed(fleet: Fleet) -> None:
    refused = host_yml(fleet, "-e", "pgbouncer_allow_older=false", "--start-at-task", "Read PgBouncer's version")
    assert refused.returncode != 0
    assert "is older than 1.26.1" in refused.stdout


def test_the_agent_may_reload_pgbouncer_and_nothing_else(fleet: Fleet) -> None:
    host = fleet.hosts()[0]
    on_host(host, "sudo -u dbhost-agent sudo -n /usr/bin/systemctl reload pgbouncer.service")
    for command in (
        "sudo -n /usr/bin/systemctl stop pgbouncer.service",
        "sudo -n id",
        "psql -U postgres -c 'SELECT 1'",
    ):
        refuses(host, f"sudo -u dbhost-agent {command}")
    refuses(host, "sudo -u pgbouncer psql -U dbhost_provisioner -d postgres -c 'SELECT 1'")
    refuses(host, "sudo -u dbhost-agent cat /etc/dbhost/tls/server.key")


def test_the_workers_key_opens_no_terminal_and_no_tunnel(fleet: Fleet) -> None:
    keys = on_host(fleet.hosts()[0], "sudo cat /home/dbhost-agent/.ssh/authorized_keys").splitlines()
    [line] = [line for line in keys if not line.startswith("#")]
    assert re.match(r'restrict,from="10\.\d+\.\d+\.1" ssh-ed25519 ', line)
    assert "restrict" not in fleet.worker_key_file.read_text()
    assert fleet.worker_key_file.stat().st_mode & 0o777 == 0o600
    assert fleet.worker_key_file.owner() == "dbhost-agent"


def test_only_ssh_and_pgbouncer_are_open(fleet: Fleet) -> None:
    one, two = fleet.hosts()
    probe = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 2)"
    on_host(two, "sudo systemd-run --quiet --unit=stray python3 -m http.server 8765 --directory /etc")
    on_host(two, "for i in $(seq 50); do ss -ltn | grep -q :8765 && break; sleep 0.1; done")
    for port in (22, 6432):
        on_host(one, f'python3 -c "{probe}" {two.address} {port}')
    for port in (5432, 8765):
        assert "timed out" in refuses(one, f'python3 -c "{probe}" {two.address} {port}')
    on_host(two, "sudo systemctl stop stray")


def test_a_reboot_brings_all_of_it_back(stack: Stack, fleet: Fleet, databases: dict[str, dict[str, Any]]) -> None:
    fleet.reboot("db1")
    host = fleet.hosts()[0]
    assert on_host(host, "systemctl is-system-running --wait") == "running"
    assert "policy drop" in on_host(host, "sudo nft list ruleset")
    [database] = [database for database in databases.values() if database["host"] == host.address]
    with connect(stack, database) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_one_session_cannot_take_the_hosts_memory(
    stack: Stack, fleet: Fleet, databases: dict[str, dict[str, Any]]
) -> None:
    assert "LimitAS=infinity" not in on_host(fleet.hosts()[0], "systemctl show -p LimitAS postgresql@17-main")
    greedy = "SELECT array_length(array_agg(repeat('x', 900) || n), 1) FROM generate_series(1, 3000000) AS n"
    with connect(stack, databases["first"]) as connection, pytest.raises(psycopg.errors.OutOfMemory):
        connection.execute(greedy)
    with connect(stack, databases["first"]) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
