"""A running stack: what it refuses, and host.yml and control_plane.yml on it: check, again, break and heal."""

import re
import subprocess
from collections.abc import Iterator

import psycopg
import pytest

from tests.embedded.support import PROGRAMS, living, pids
from tests.support.servers import free_ports
from tests.support.stack import CHECKOUT, Stack, running_stack
from webapp.embedded import environment, layout, playbooks, supervisor, users

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """A stack that runs, for tests that leave it as it was."""
    with running_stack() as stack:
        yield stack


def test_a_taken_port_is_named_and_nothing_is_started(running: Stack) -> None:
    other = Stack(running.home.parent / "other", [running.ports[0], *free_ports(3)])
    try:
        refused = other.dbhost("up", "--detach", check=False)
        assert refused.returncode == 1
        assert f"Port {running.ports[0]} is taken: set DBHOST_WEB_PORT" in refused.stderr
        assert living(other.home) == []
    finally:
        other.purge()
    assert set(pids(running)) == PROGRAMS


@pytest.mark.parametrize("role", ["postgres", "dbhost_provisioner"])
def test_privileged_roles_are_refused_over_tcp(running: Stack, role: str) -> None:
    for port, words in ((running.ports[2], "pg_hba.conf rejects"), (running.ports[1], "no such|not allowed|failed")):
        with pytest.raises(psycopg.OperationalError, match=words):
            psycopg.connect(host="127.0.0.1", port=port, user=role, password="x", dbname="postgres", connect_timeout=5)


def embedded(running: Stack) -> environment.Stack:
    """The stack as its own commands see it."""
    return layout.with_short_sockets(environment.load(running.env))


def playbook(running: Stack, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    stack = embedded(running)
    user = stack.agent_user if name == "control_plane" or not stack.as_root else "root"
    command = [*playbooks.command(name), *options]
    return users.run_as(user, command, playbooks.environment(stack, user), cwd=CHECKOUT)


def changed(run: subprocess.CompletedProcess[str]) -> int:
    assert run.returncode == 0, run.stdout + run.stderr
    [count] = re.findall(r"changed=(\d+)", run.stdout)
    return int(count)


@pytest.mark.parametrize("name", ["host", "control_plane"])
@pytest.mark.parametrize("options", [(), ("--check", "--diff")])
def test_a_second_run_changes_nothing(running: Stack, name: str, options: tuple[str, ...]) -> None:
    assert changed(playbook(running, name, *options)) == 0


def test_by_hand_it_needs_only_home_and_ports(running: Stack) -> None:
    run = subprocess.run(
        [*playbooks.command("host"), "--check"],
        env=running.env,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert changed(run) == 0


def test_a_changed_access_rule_is_predicted_and_taken_back(running: Stack) -> None:
    rules = running.home / "postgres" / "data" / "pg_hba.conf"
    right = rules.read_text()
    rules.write_text("local all all trust\n" + right)
    predicted = playbook(running, "host", "--check", "--diff")
    assert changed(predicted) >= 1
    assert "-local all all trust" in predicted.stdout
    assert rules.read_text().startswith("local all all trust")
    assert changed(playbook(running, "host")) >= 1
    assert rules.read_text() == right
    assert changed(playbook(running, "host")) == 0


def test_a_setting_that_needs_a_new_start_gets_one(running: Stack) -> None:
    def connections() -> str:
        with running.provisioner() as connection:
            row = connection.execute("SHOW max_connections").fetchone()
        return str(row and row[0])

    before = running.pid("postgres")
    assert changed(playbook(running, "host", "-e", "postgres_max_connections=350")) == 5
    assert connections() == "350"
    assert running.pid("postgres") != before
    assert changed(playbook(running, "host")) == 5
    assert connections() == "400"


def test_a_stopped_program_is_started(running: Stack) -> None:
    with supervisor.client(embedded(running)) as programs:
        supervisor.stop_program(programs, "pgbouncer")
    assert changed(playbook(running, "host", "--check")) == 1
    assert changed(playbook(running, "host")) == 1
    assert changed(playbook(running, "host")) == 0


def test_an_unknown_service_manager_is_refused(running: Stack) -> None:
    refused = playbook(running, "host", "-e", "dbhost_service_manager=runit")
    assert refused.returncode != 0
    assert "must be one of: supervisor, systemd" in refused.stdout


def test_no_verifier_reaches_output_or_log(running: Stack) -> None:
    ran = playbook(running, "control_plane", "-vvv")
    verifier = (running.home / "secrets" / "control_verifier").read_text().strip()
    logs = "".join(path.read_text(errors="replace") for path in (running.home / "logs").glob("*.log"))
    assert verifier not in ran.stdout + logs
    assert verifier.rsplit("$", 1)[1] not in ran.stdout + logs
