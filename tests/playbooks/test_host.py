"""host.yml and control_plane.yml on a running stack: check, again, break and heal."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.stack import CHECKOUT, Stack, running_stack
from webapp.embedded import environment, layout, playbooks, users

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack() as running:
        yield running


def playbook(stack: Stack, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    embedded = layout.with_short_sockets(environment.load(stack.env))
    user = embedded.agent_user if name == "control_plane" or not embedded.as_root else "root"
    command = [*playbooks.command(name), *options]
    return users.run_as(user, command, playbooks.environment(embedded, user), cwd=CHECKOUT)


def changed(run: subprocess.CompletedProcess[str]) -> int:
    assert run.returncode == 0, run.stdout + run.stderr
    [count] = re.findall(r"changed=(\d+)", run.stdout)
    return int(count)


@pytest.mark.parametrize("name", ["host", "control_plane"])
@pytest.mark.parametrize("options", [(), ("--check", "--diff")])
def test_a_second_run_changes_nothing(stack: Stack, name: str, options: tuple[str, ...]) -> None:
    assert changed(playbook(stack, name, *options)) == 0


def test_by_hand_it_needs_only_home_and_ports(stack: Stack) -> None:
    run = subprocess.run(
        [*playbooks.command("host"), "--check"],
        env=stack.env,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert changed(run) == 0


def test_a_changed_access_rule_is_predicted_and_taken_back(stack: Stack) -> None:
    rules = stack.home / "postgres" / "data" / "pg_hba.conf"
    right = rules.read_text()
    rules.write_text("local all all trust\n" + right)
    predicted = playbook(stack, "host", "--check", "--diff")
    assert changed(predicted) >= 1
    assert "-local all all trust" in predicted.stdout
    assert rules.read_text().startswith("local all all trust")
    assert changed(playbook(stack, "host")) >= 1
    assert rules.read_text() == right
    assert changed(playbook(stack, "host")) == 0


def test_a_setting_that_needs_a_new_start_gets_one(stack: Stack) -> None:
    def connections() -> str:
        with stack.provisioner() as connection:
            row = connection.execute("SHOW max_connections").fetchone()
        return str(row and row[0])

    before = stack.pid("postgres")
    assert changed(playbook(stack, "host", "-e", "postgres_max_connections=350")) == 3
    assert connections() == "350"
    assert stack.pid("postgres") != before
    assert changed(playbook(stack, "host")) == 3
    assert connections() == "400"


def test_a_stopped_program_is_started(stack: Stack) -> None:
    supervisorctl = [CHECKOUT / ".venv/bin/supervisorctl", "-c", stack.home / "supervisor" / "supervisord.conf"]
    subprocess.run([*supervisorctl, "stop", "pgbouncer"], check=True, capture_output=True)
    assert changed(playbook(stack, "host", "--check")) == 1
    assert changed(playbook(stack, "host")) == 1
    assert changed(playbook(stack, "host")) == 0


def test_an_unknown_service_manager_is_refused(stack: Stack) -> None:
    refused = playbook(stack, "host", "-e", "dbhost_service_manager=runit")
    assert refused.returncode != 0
    assert "must be one of: supervisor, systemd" in refused.stdout


def test_no_verifier_reaches_output_or_log(stack: Stack) -> None:
    ran = playbook(stack, "control_plane", "-vvv")
    verifier = (stack.home / "secrets" / "control_verifier").read_text().strip()
    logs = "".join(path.read_text(errors="replace") for path in (stack.home / "logs").glob("*.log"))
    assert verifier not in ran.stdout + logs
    assert verifier.rsplit("$", 1)[1] not in ran.stdout + logs
