"""The operator's guide is true: its commands run as they stand, in the order of an operator's days."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.fleet.support import on_host
from tests.scenarios import guide, hosts
from tests.scenarios.host.test_host import served
from tests.scenarios.plays import connect
from tests.support.dataplane import verifier
from tests.support.stack import CHECKOUT, tool
from webapp.fleet import FleetHost
from webapp.services.host_keys import check_key, fingerprint

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
        self._configure_ssh()

    def run(self, name: str) -> str:
        """What the block says; fails with it when a command in it fails."""
        RAN.add(name)
        script = self.named(BLOCKS[name].script)
        if BLOCKS[name].on_host:
            return on_host(self.host, f"set -e\n{script}", timeout_s=600)
        done = self.attempt(script)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def named(self, script: str) -> str:
        for word, replacement in self.names.items():
            script = script.replace(word, replacement)
        return script

    def attempt(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=800,
            stdin=subprocess.DEVNULL,
        )

    def _configure_ssh(self) -> None:
        """What a person has in ~/.ssh/config, for ssh and scp: their key, and the hosts' keys, pinned."""
        fleet, programs = hosts.fleet("host"), self.folder / "bin"
        settings = {
            "IdentityFile": fleet.admin_key_file,
            "UserKnownHostsFile": fleet.known_hosts_file,
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
        }
        config = self.folder / "ssh_config"
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        programs.mkdir()
        for name in ("ssh", "scp"):
            (programs / name).write_text(f'#!/bin/sh\nexec /usr/bin/{name} -F {config} "$@"\n')
            (programs / name).chmod(0o755)

    def _environment(self) -> dict[str, str]:
        """Their own SSH set-up: the keys that let them in, and the hosts' keys, pinned; nothing of molecule's."""
        keys = f"-i {hosts.fleet('host').admin_key_file} -i {self.folder}/my-inventory/keys/worker"
        pinned = f"-o UserKnownHostsFile={hosts.fleet('host').known_hosts_file} -o StrictHostKeyChecking=yes"
        program, clients = tool("psql")
        path = f"{self.folder / 'bin'}:{CHECKOUT / '.venv/bin'}:{Path(program).parent}:{os.environ['PATH']}"
        sockets = {"ANSIBLE_SSH_CONTROL_PATH_DIR": f"/run/dbh{hosts.fleet('host').names.tag}"}
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "MOLECULE_"))}
        return plain | clients | sockets | {"PATH": path, "ANSIBLE_SSH_COMMON_ARGS": f"-F none {keys} {pinned}"}


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


def test_the_certificate_of_files_stays(operator: Operator) -> None:
    """Before, this host took over each certificate that Caddy renewed, and looked for one each hour."""
    before = served(operator.host)
    on_host(operator.host, "sudo systemctl daemon-reload; sudo systemctl start dbhost-certificate.service || true")
    assert served(operator.host) == before
    assert on_host(operator.host, "systemctl list-unit-files --no-legend 'dbhost-certificate*' || true") == ""


def test_a_first_tenant(operator: Operator) -> None:
    item = {"name": "guide", "verifier": verifier("secret")}
    (operator.folder / "tenants.yml").write_text(yaml.safe_dump({"tenant_databases": [item]}))
    assert "1 row" in operator.run("tenants")


def test_a_control_plane_and_its_first_admin(operator: Operator) -> None:
    """The certificate is another than Caddy's now: the web process follows to the authority of the files."""
    assert "failed=0" in operator.run("control-plane")
    assert "Password (shown once)" in operator.run("admin")


@pytest.fixture(scope="module")
def second(operator: Operator) -> Iterator[FleetHost]:
    """Another server, and the operator's SSH agent, by which they enter it from the first one."""
    booted = hosts.fleet("host")
    [_, host] = booted.up(2)
    shown = booted.names.host_key_file(host.name).with_suffix(".pub").read_text()
    operator.names |= {"db2.example.net": host.address, "SHA256:FINGERPRINT": fingerprint(check_key(shown))}
    with ssh_agent(operator.folder / "agent", booted.admin_key_file):
        yield host


@contextmanager
def ssh_agent(socket: Path, key_file: Path) -> Iterator[None]:
    """An agent with this key, for commands of this process."""
    with pytest.MonkeyPatch.context() as patched, subprocess.Popen(["ssh-agent", "-D", "-a", socket]) as agent:
        try:
            patched.setenv("SSH_AUTH_SOCK", str(socket))
            subprocess.run(
                ["timeout", "10", "sh", "-c", f"until ssh-add -q {key_file}; do sleep 0.1; done"], check=True
            )
            yield
        finally:
            agent.terminate()


def test_an_enrolment_that_fails_half_way_places_nothing(operator: Operator, second: FleetHost) -> None:
    """By another key than the pinned one nothing begins; and one that stops in the middle of host.yml goes on later."""
    operator.run("authority-handed-over")
    add = operator.named(BLOCKS["another-host"].script).partition("\nssh ")[0]
    by_another_key = add.replace("SHA256:", "SHA256:another")
    assert "other keys than the one you named" in operator.attempt(by_another_key).stderr
    stopped = operator.attempt(add.replace("allow_older=true", "allow_older=false"))
    assert stopped.returncode != 0
    assert "The step “Set the host up (playbooks/host.yml)” failed" in stopped.stderr
    assert "is older than 1.26.1" in stopped.stderr
    assert "enrolling" in on_host(operator.host, "sudo dbhost host show db2")
    assert "other keys than the one you named" in operator.attempt(by_another_key).stderr  # also now that one is pinned


def test_another_host_and_a_database_on_each(operator: Operator, second: FleetHost) -> None:
    assert "db2 is active." in operator.run("another-host")
    log = "/var/lib/dbhost-operator/logs/host-add.log"
    assert "failed=0" in on_host(operator.host, f"sudo tail -3 {log}")
    with api(operator) as client:
        made = [create(client, f"on-two-{number}") for number in range(4)]
        # Hosts that are well come first, and the first one has had its certificate changed a moment ago.
        on_host(operator.host, "sudo dbhost host drain db2")
        made.append(create(client, "on-the-first"))
        on_host(operator.host, "sudo dbhost host activate db2")
    assert {database["host"] for database in made} == {operator.host.address, second.address}
    authority = operator.folder / "tls/ca.crt"
    for database in made:
        assert "sslmode=verify-full&sslrootcert=ca.crt" in database["connectionString"]
        with connect(database["host"], database["name"], database["password"], authority) as session:
            assert session.execute("SELECT current_user::text").fetchone() == (database["name"],)


def api(operator: Operator) -> httpx.Client:
    """The API of the guide's control plane, whose dashboard Caddy's own authority vouches for."""
    root = on_host(operator.host, "sudo cat /var/lib/caddy/.local/share/caddy/pki/authorities/local/root.crt")
    key = on_host(operator.host, "sudo dbhost api-key create --user you@example.net")
    return httpx.Client(
        base_url=f"https://{operator.host.address}/api/v1",
        verify=ssl.create_default_context(cadata=root),
        headers={"Authorization": f"Bearer {key}"},
        timeout=60,
    )


def create(client: httpx.Client, name: str) -> dict[str, Any]:
    made = client.post("/databases", json={"name": name, "displayName": name})
    assert made.status_code == 201, made.text
    return dict(made.json())


def test_upgrading_and_looking(operator: Operator) -> None:
    assert operator.run("upgrade-packages").endswith("active\nactive")
    assert operator.run("look").count("active") >= 4
    assert re.findall(r'"problems": (\[.*?\])', operator.run("report"), re.DOTALL) == ["[]"]


def test_no_command_was_left_out() -> None:
    assert set(BLOCKS) == RAN
