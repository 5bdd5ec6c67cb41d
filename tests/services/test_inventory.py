"""The inventories that are made of the control database's hosts."""

from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from tests.services.test_host_changes import KEY
from webapp import inventory_files
from webapp.services import host_changes, inventory
from webapp.services.actors import SYSTEM
from webapp.services.ansible_data import as_data
from webapp.services.host_rules import HostSpec
from webapp.services.inventory import Login


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "worker"
    file.write_text("THE PRIVATE KEY")
    file.with_name("worker.pub").write_text("ssh-ed25519 AAAA worker\n")
    return file


def test_groups_and_variables(session: Session, key_file: Path) -> None:
    given = HostSpec(
        "db9", "192.0.2.9", (KEY,), ssh_port=2222, region="eu-1", variables={"postgres_memory_max_mb": 512}
    )
    host = host_changes.begin_enrolment(session, SYSTEM, given)
    login = Login("dbhost-agent", key_file.with_name("pinned"), key_file)
    made = inventory.script([host], login, "PUBLIC")
    assert made["database_hosts"] == made["region_eu_1"] == {"hosts": ["db9"]}
    assert made["_meta"]["hostvars"]["db9"] == as_data(inventory.variables(host, login, "PUBLIC"))
    variables = inventory.variables(host, login, "PUBLIC")
    assert (variables["ansible_host"], variables["ansible_port"], variables["ansible_user"]) == (
        "192.0.2.9", 2222, "dbhost-agent",
    )  # fmt: skip
    assert "StrictHostKeyChecking=yes" in variables["ansible_ssh_common_args"]
    assert f"UserKnownHostsFile={key_file.with_name('pinned')}" in variables["ansible_ssh_common_args"]
    assert (variables["postgres_memory_max_mb"], variables["agent_authorized_keys"]) == (512, ["PUBLIC"])


def test_a_host_of_its_own_name_gets_a_certificate_for_it(session: Session) -> None:
    """Caddy asks for it by `pgbouncer_public_host`, and is reached by the ports that role hardening then opens."""
    given = HostSpec("db9", "192.0.2.9", (KEY,), public_host="db9.example.net", variables={"caddy_issuer": "acme"})
    host = host_changes.begin_enrolment(session, SYSTEM, given)
    made = inventory.variables(host, Login("dbhost-agent", Path("pinned")), "PUBLIC")
    assert (made["pgbouncer_public_host"], made["caddy_issuer"]) == ("db9.example.net", "acme")
    assert "hardening_open_ports" not in made


def test_files_for_the_agent_hold_pinned_keys_and_no_secret(session: Session, key_file: Path, tmp_path: Path) -> None:
    host = host_changes.begin_enrolment(session, SYSTEM, HostSpec("db9", "192.0.2.9", (KEY,), ssh_port=2222))
    made = inventory_files.for_agent(tmp_path / "made", [host], key_file)
    pinned = made.with_name("known_hosts").read_text()
    assert pinned == f"[192.0.2.9]:2222 {' '.join(KEY.split()[:2])}\n"
    assert "PRIVATE" not in made.read_text()
    before = made.stat().st_ino
    inventory_files.for_agent(tmp_path / "made", [host], key_file)
    assert made.stat().st_ino == before


HOSTILE = {
    "name": ["all", "localhost", "-i", "@/etc/passwd", "db9,local", "~.*", "db9\n"],
    "address": ["-oProxyCommand=id", "a b", "host\nevil", "{{ 1 }}", "x;id", "$(id)"],
    "public_host": ["-x", "{{ 1 }}"],
    "region": ["a b", "{{ 1 }}", "../x"],
    "host_keys": [["ssh-ed25519 x\n* ssh-ed25519 AAAA"], ["@cert-authority * ssh-ed25519 AAAA"], ["{{ 1 }}"]],
    "variables": [
        {name: "x"}
        for name in (
            "ansible_connection", "ansible_host", "ansible_port", "ansible_user", "ansible_ssh_common_args",
            "ansible_ssh_extra_args", "ansible_ssh_executable", "ansible_python_interpreter", "ansible_become",
            "ansible_become_exe", "ansible_become_method", "ansible_shell_executable", "ansible_remote_tmp",
            "ansible_ssh_private_key_file", "ansible_control_path_dir", "inventory_hostname", "hostvars",
        )
    ] + [{"postgres_memory_max_mb": {"__ansible_vault": "x"}}],
}  # fmt: skip


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in HOSTILE.items() for value in values])
def test_a_row_that_breaks_the_rules_is_left_out(
    session: Session, key_file: Path, tmp_path: Path, field: str, value: object
) -> None:
    """Whoever writes rows past the services does not decide how the worker enters a host, or any other host."""
    good = host_changes.begin_enrolment(session, SYSTEM, HostSpec("db8", "192.0.2.8", (KEY,)))
    host = host_changes.begin_enrolment(session, SYSTEM, HostSpec("db9", "192.0.2.9", (KEY,)))
    setattr(host, field, value)
    session.flush()
    login = Login("dbhost-agent", key_file.with_name("pinned"), key_file)
    assert inventory.script([good, host], login, "PUBLIC") == inventory.script([good], login, "PUBLIC")
    assert inventory.static([good, host], login, "PUBLIC") == inventory.static([good], login, "PUBLIC")
    assert inventory.known_hosts([good, host]) == inventory.known_hosts([good]) != ""
    assert inventory_files.for_agent(tmp_path / "made", [good, host], key_file).exists()
