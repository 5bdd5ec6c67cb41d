"""After a reboot: a production host with a control plane, as its clients and its operator see it."""

from __future__ import annotations

import re
import secrets
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.fleet.support import answers, on_host, refuses
from tests.scenarios import hosts
from tests.scenarios.plays import connect, playbook
from webapp.fleet import FleetHost

# Of this run: the hosts may be looked at again.
RUN = secrets.token_hex(3)
EMAIL, PASSWORD, NAME = f"alice-{RUN}@example.org", "correct horse battery staple", f"shop-{RUN}"


@pytest.fixture(scope="module")
def host() -> FleetHost:
    return hosts.fleet("host").hosts()[0]


@pytest.fixture(scope="module")
def authority(host: FleetHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Caddy's own, as `/ca.crt` gives it out."""
    file = tmp_path_factory.mktemp("authority") / "ca.crt"
    file.write_text(on_host(host, "cat /etc/dbhost/ca.crt") + "\n")
    return file


@pytest.fixture(scope="module")
def outside(host: FleetHost, authority: Path) -> Iterator[httpx.Client]:
    """A browser without scripts, signed in as the first admin."""
    on_host(host, f"echo '{PASSWORD}' | sudo dbhost user create {EMAIL} --admin --password-stdin")
    address = f"https://{host.address}"
    context = ssl.create_default_context(cafile=str(authority))
    with httpx.Client(base_url=address, verify=context, timeout=60, headers={"Referer": address}) as client:
        client.post("/sign-in", data={"csrf_token": token(client, "/sign-in"), "email": EMAIL, "password": PASSWORD})
        yield client


def token(client: httpx.Client, page: str) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get(page).text)
    assert found, page
    return found[1]


@pytest.fixture(scope="module")
def database(host: FleetHost, outside: httpx.Client) -> dict[str, Any]:
    """One database, through the API of this control plane."""
    key = on_host(host, f"sudo dbhost api-key create --user {EMAIL}")
    made = outside.post(
        "/api/v1/databases", json={"name": NAME, "displayName": NAME}, headers={"Authorization": f"Bearer {key}"}
    )
    assert made.status_code == 201, made.text
    return dict(made.json())


def play(name: str, *options: str) -> Any:
    home = hosts.home("host")
    return playbook(name, "-i", home / "fleet/inventory.yml", "-i", home / "control.yml", *options)


def test_the_dashboard_answers_over_https_and_a_client_from_outside_too(
    host: FleetHost, outside: httpx.Client, authority: Path, database: dict[str, Any]
) -> None:
    page = outside.get("/databases")
    assert page.status_code == 200
    assert EMAIL in page.text
    assert page.headers["strict-transport-security"]
    assert database["connectionString"].endswith("?sslmode=verify-full&sslrootcert=ca.crt")
    assert "server" not in page.headers
    with connect(host.address, NAME, database["password"], authority) as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == (NAME,)
    assert outside.get("/databases").text.count(NAME) >= 1


def test_the_host_is_well(host: FleetHost, outside: httpx.Client) -> None:
    """PgBouncer's figures are there, which its closed console gives by root's program alone."""
    key = on_host(host, f"sudo dbhost api-key create --user {EMAIL}")
    deadline = time.monotonic() + 120
    while True:
        [found] = outside.get("/api/v1/health", headers={"Authorization": f"Bearer {key}"}).json()["hosts"]
        if found["reportedAt"] and not found["problems"]:
            break
        assert time.monotonic() < deadline, found
        time.sleep(1)
    assert found["maxClients"] == 4000
    assert on_host(host, "systemctl is-system-running") == "running"


def test_everything_came_back_closed_after_the_reboot(host: FleetHost) -> None:
    assert "policy drop" in on_host(host, "sudo nft list ruleset")
    on_host(host, "sudo systemd-run --quiet --unit=stray python3 -m http.server 8765 --directory /etc")
    on_host(host, "for i in $(seq 50); do ss -ltn | grep -q :8765 && break; sleep 0.1; done")
    ports = {port: answers(host.address, port) for port in (22, 80, 443, 5432, 6432, 8000, 8765)}
    assert ports == {22: True, 80: True, 443: True, 5432: False, 6432: True, 8000: False, 8765: False}
    on_host(host, "sudo systemctl stop stray")


@pytest.mark.parametrize("unit", ["dbhost-web", "dbhost-worker", "caddy", "dbhost-certificate"])
def test_units_are_closed_in(host: FleetHost, unit: str) -> None:
    said = on_host(host, f"sudo systemd-analyze security {unit}.service --no-pager | tail -1")
    found = re.search(r"(\d+\.\d+) OK", said)
    assert found, said
    assert float(found[1]) < 3


def test_each_process_reads_its_own_secrets_alone(host: FleetHost) -> None:
    folder = "/etc/dbhost/secrets"
    for user, name in (("web", "encryption_keys"), ("worker", "worker_key"), ("worker", "worker_database_url")):
        on_host(host, f"sudo -u dbhost-{user} cat {folder}/{name}")
    for user, name in (
        ("web", "worker_key"),
        ("web", "control_password"),
        ("worker", "encryption_keys"),
        ("worker", "web_database_url"),
        ("agent", "secret_key"),
    ):
        refuses(host, f"sudo -u dbhost-{user} cat {folder}/{name}")
    refuses(host, "sudo -u dbhost-web psql -U dbhost_provisioner -d postgres -c 'SELECT 1'")
    commands = on_host(host, "ps -eo args")
    for name in ("control_password", "secret_key", "encryption_keys"):
        assert on_host(host, f"sudo cat {folder}/{name}") not in commands


def test_the_agent_reloads_pgbouncer_reads_its_figures_and_nothing_else(host: FleetHost) -> None:
    on_host(host, "sudo -u dbhost-agent sudo -n /usr/bin/systemctl reload pgbouncer.service")
    figures = on_host(host, "sudo -u dbhost-agent sudo -n -u pgbouncer /usr/local/sbin/dbhost-pgbouncer-figures")
    assert "dbhost-control" in figures
    assert "127.0.0.1" not in figures
    for command in (
        "sudo -n /usr/bin/systemctl stop pgbouncer.service",
        "sudo -n id",
        "sudo -n -u pgbouncer id",
        "sudo -n -u pgbouncer /usr/local/sbin/dbhost-pgbouncer-figures more",
        "psql -U postgres -c 'SELECT 1'",
        "cat /etc/dbhost/tls/server.key",
    ):
        refuses(host, f"sudo -u dbhost-agent {command}")
    refuses(host, "sudo -u pgbouncer psql -U dbhost_provisioner -d postgres -c 'SELECT 1'")


def test_the_workers_key_opens_no_terminal_and_no_tunnel(host: FleetHost) -> None:
    keys = on_host(host, "sudo cat /home/dbhost-agent/.ssh/authorized_keys").splitlines()
    [line] = [line for line in keys if not line.startswith("#")]
    assert re.match(r'restrict,from="10\.[\d.]+" ssh-ed25519 ', line)


def test_one_session_cannot_take_the_hosts_memory(host: FleetHost, authority: Path, database: dict[str, Any]) -> None:
    assert "LimitAS=infinity" not in on_host(host, "systemctl show -p LimitAS postgresql@17-main")
    greedy = "SELECT array_length(array_agg(repeat('x', 900) || n), 1) FROM generate_series(1, 3000000) AS n"
    session = connect(host.address, NAME, database["password"], authority)
    with session as connection, pytest.raises(psycopg.errors.OutOfMemory):
        connection.execute(greedy)
    with connect(host.address, NAME, database["password"], authority) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_operator_looks_for_drift_by_the_workers_way(host: FleetHost, database: dict[str, Any]) -> None:
    on_host(host, f"sudo -u postgres psql -qc 'ALTER ROLE \"{NAME}\" CONNECTION LIMIT 3'")
    assert "CONNECTION LIMIT" in on_host(host, "sudo dbhost converge --host db1 --check")
    on_host(host, "sudo dbhost converge --host db1")
    assert "changed=0" in on_host(host, "sudo dbhost converge --host db1 --check")


def test_an_old_pgbouncer_is_refused_unless_allowed() -> None:
    refused = play("host", "-e", "pgbouncer_allow_older=false", "--start-at-task", "Read PgBouncer's version")
    assert refused.returncode != 0
    assert "is older than 1.26.1" in refused.stdout


def test_a_renewed_certificate_is_served_and_sessions_go_on(
    host: FleetHost, authority: Path, database: dict[str, Any]
) -> None:
    with connect(host.address, NAME, database["password"], authority) as connection:
        before = served(host)
        folder = f"/var/lib/caddy/.local/share/caddy/certificates/local/{host.address}"
        on_host(host, f"sudo sh -c 'rm -r {folder}; systemctl restart caddy'")
        wait(lambda: served(host) != before)
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with connect(host.address, NAME, database["password"], authority) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_broken_certificate_is_not_served_and_the_report_says_so(host: FleetHost, authority: Path) -> None:
    before = served(host)
    file = f"/var/lib/caddy/.local/share/caddy/certificates/local/{host.address}/{host.address}.crt"
    on_host(host, f"sudo sh -c 'cp -p {file} /var/tmp/kept.crt; echo broken > {file}'")
    wait(lambda: "is not taken" in on_host(host, "sudo cat /etc/dbhost/tls/problem 2>/dev/null || true"))
    assert served(host) == before
    assert "is not taken" in play("report", "-v").stdout
    on_host(host, f"sudo cp -p /var/tmp/kept.crt {file}")
    wait(lambda: on_host(host, "sudo ls /etc/dbhost/tls") == "server.crt\nserver.key")
    assert served(host) == before


def served(host: FleetHost) -> str:
    ask = f"openssl s_client -connect {host.address}:6432 -starttls postgres </dev/null 2>/dev/null"
    return on_host(host, f"{ask} | openssl x509 -noout -serial")


def wait(happened: Any, within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.5)
