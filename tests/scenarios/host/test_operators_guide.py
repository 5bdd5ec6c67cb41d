"""The operator's guide is true: its commands run as they stand, in the order of an operator's days."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.fleet.support import on_host
from tests.scenarios import guide, hosts
from tests.support.dataplane import verifier
from tests.support.stack import CHECKOUT, tool
from webapp.fleet import FleetHost

BLOCKS = guide.blocks()
RAN: set[str] = set()


class Operator:
    """Somebody who follows the guide in a folder of their own, with the names of this host."""

    def __init__(self, folder: Path, host: FleetHost) -> None:
        self.folder, self.host = folder, host
        names = {"db1.example.net": host.address, "DNS:": "IP:", "YOU": "dbhost-admin"}
        self.names = names
        for name in ("ansible.cfg", "playbooks", "roles", "agent_modules", "inventory", "dbhost"):
            (folder / name).symlink_to(CHECKOUT / name)

    def run(self, name: str) -> str:
        """What the block says; fails with it when a command in it fails."""
        RAN.add(name)
        script = BLOCKS[name].script
        for word, replacement in self.names.items():
            script = script.replace(word, replacement)
        if BLOCKS[name].on_host:
            return on_host(self.host, f"set -e\n{script}", timeout_s=240)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _environment(self) -> dict[str, str]:
        """Their own SSH set-up: the keys that let them in, and the hosts' keys, pinned."""
        keys = f"-i {hosts.fleet('host').admin_key_file} -i {self.folder}/my-inventory/keys/worker"
        pinned = f"-o UserKnownHostsFile={hosts.fleet('host').known_hosts_file} -o StrictHostKeyChecking=yes"
        program, clients = tool("psql")
        path = f"{CHECKOUT / '.venv/bin'}:{Path(program).parent}:{os.environ['PATH']}"
        sockets = {"ANSIBLE_SSH_CONTROL_PATH_DIR": f"/run/dbh{hosts.fleet('host').names.tag}"}
        return os.environ | clients | sockets | {"PATH": path, "ANSIBLE_SSH_COMMON_ARGS": f"-F none {keys} {pinned}"}


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    return Operator(tmp_path_factory.mktemp("operator"), hosts.fleet("host").hosts()[0])


def test_the_inventory_and_an_authority(operator: Operator) -> None:
    operator.run("inventory")
    operator.run("authority")
    inventory = operator.folder / "my-inventory"
    shutil.copy(hosts.fleet("host").known_hosts_file, inventory / "known_hosts")
    host = {"ansible_host": operator.host.address, "pgbouncer_allow_older": True, "postgres_memory_max_mb": 1024}
    files = {
        "caddy_issuer": "internal",
        "pgbouncer_tls_cert_source": "{{ inventory_dir }}/../tls/db1.crt",
        "pgbouncer_tls_key_source": "{{ inventory_dir }}/../tls/db1.key",
    }
    panel = {
        "control_plane_public_name": operator.host.address,
        "control_plane_ca_source": "{{ inventory_dir }}/../tls/ca.crt",
    }
    tree = {"database_hosts": {"hosts": {"db1": {**host, **files}}}, "control_plane": {"hosts": {"db1": panel}}}
    (inventory / "hosts.yml").write_text(yaml.safe_dump(tree))
    [added] = [part for part in guide.GUIDE.read_text().split("```yaml\n")[1:] if "agent_authorized_keys" in part]
    lines = added.partition("```")[0].replace("[198.51.100.7]", f"[{operator.host.address}, 10.192.0.0/11]")
    with (inventory / "group_vars/database_hosts.yml").open("a") as file:
        file.write(lines)


def test_a_drift_is_predicted_and_taken_back(operator: Operator) -> None:
    rules = "/etc/postgresql/17/main/pg_hba.conf"
    on_host(operator.host, f"echo 'local all all trust' | sudo tee -a {rules}; sudo systemctl stop pgbouncer")
    assert "-local all all trust" in operator.run("host-check")
    assert "trust" in on_host(operator.host, f"sudo cat {rules}")
    assert "failed=0" in operator.run("host")
    assert "trust" not in on_host(operator.host, f"sudo cat {rules}")
    assert on_host(operator.host, "systemctl is-active pgbouncer") == "active"


def test_a_first_tenant(operator: Operator) -> None:
    item = {"name": "guide", "verifier": verifier("secret")}
    (operator.folder / "tenants.yml").write_text(yaml.safe_dump({"tenant_databases": [item]}))
    assert "1 row" in operator.run("tenants")


def test_a_control_plane_and_its_first_admin(operator: Operator) -> None:
    """The certificate is another than Caddy's now: the web process follows to the authority of the files."""
    assert "failed=0" in operator.run("control-plane")
    assert "Password (shown once)" in operator.run("admin")


def test_upgrading_and_looking(operator: Operator) -> None:
    assert operator.run("upgrade-packages").endswith("active\nactive")
    assert operator.run("look").count("active") >= 4
    assert '"problems": []' in operator.run("report")


def test_no_command_was_left_out() -> None:
    assert set(BLOCKS) == RAN
