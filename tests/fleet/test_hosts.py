"""Two hosts do what rented servers do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet.support import answers, boot_id, on_host, refuses, wait_answers
from webapp.fleet import Fleet, FleetError

pytestmark = pytest.mark.slow
PORT = 8765
ANSIBLE = Path(sys.executable).with_name("ansible")


def test_it_works(fleet: Fleet) -> None:
    for host in fleet.hosts():
        assert on_host(host, "systemctl is-system-running") == "running"
        assert on_host(host, "hostname") == host.name
        assert on_host(host, "systemctl list-units --failed --no-legend") == ""
        assert on_host(host, ". /etc/os-release; echo $ID $VERSION_ID") == "debian 13"
    assert [status.running and status.plugged for status in fleet.status()] == [True, True]


def test_hosts_differ(fleet: Fleet) -> None:
    one, two = fleet.hosts()
    for secret in ("cat /etc/machine-id", "cat /etc/ssh/ssh_host_ed25519_key.pub"):
        assert on_host(one, secret) != on_host(two, secret)


def test_only_the_pinned_host_key_counts(fleet: Fleet, tmp_path: Path) -> None:
    one, two = fleet.hosts()
    pinned = dict(line.split(" ", 1) for line in fleet.known_hosts_file.read_text().splitlines())
    wrong = tmp_path / "known_hosts"
    wrong.write_text(f"{one.address} {pinned[two.address]}\n")
    impostor = type(one)(one.name, one.address, one.ssh_port, one.ssh_key_file, wrong)
    with pytest.raises(AssertionError, match="Host key verification failed"):
        on_host(impostor, "true")


def test_nobody_enters_as_root_or_with_a_password(fleet: Fleet) -> None:
    settings = on_host(fleet.hosts()[0], "sudo sshd -T").splitlines()
    assert {"permitrootlogin no", "passwordauthentication no", "kbdinteractiveauthentication no"} <= set(settings)


def test_packages_install_and_nftables_works(fleet: Fleet) -> None:
    host = fleet.hosts()[0]
    on_host(host, "sudo apt-get -q update && sudo apt-get -qq install nftables", timeout_s=120)
    on_host(host, "sudo nft add table inet probe && sudo nft list table inet probe")


def test_units_with_sandboxes_work(fleet: Fleet) -> None:
    sandbox = "-p DynamicUser=yes -p ProtectSystem=strict -p PrivateDevices=yes -p SystemCallFilter=@system-service"
    assert on_host(fleet.hosts()[0], f"sudo systemd-run --quiet --pipe --wait {sandbox} id -u") != "0"


def test_clients_reach_a_port_from_outside_and_from_a_neighbour(fleet: Fleet) -> None:
    one, two = fleet.hosts()
    on_host(two, f"sudo systemd-run --quiet --unit=web python3 -m http.server {PORT} --directory /etc")
    try:
        wait_answers(two.address, PORT)
        fetch = (
            f"import urllib.request as request; print(request.urlopen('http://{two.address}:{PORT}/hostname').read())"
        )
        assert "db2" in on_host(one, f'python3 -c "{fetch}"')
    finally:
        on_host(two, "sudo systemctl stop web")
    assert not answers(two.address, PORT)


def test_hosts_have_no_way_out(fleet: Fleet) -> None:
    host = fleet.hosts()[0]
    assert "default" not in on_host(host, "ip route")
    outside = "import socket; socket.create_connection(('192.0.2.1', 443), timeout=5)"
    assert "Network is unreachable" in refuses(host, f'python3 -c "{outside}"')


def test_up_again_changes_nothing(fleet: Fleet) -> None:
    before = [boot_id(host) for host in fleet.hosts()]
    said: list[str] = []
    fleet.progress, silent = said.append, fleet.progress
    try:
        assert fleet.up(2) == fleet.hosts()
    finally:
        fleet.progress = silent
    assert [boot_id(host) for host in fleet.hosts()] == before
    assert [line for line in said if "Starting" in line or "Making" in line] == []


def test_ansible_reaches_every_host_as_root(fleet: Fleet) -> None:
    inventory = fleet.write_inventory()
    command = [ANSIBLE, "-i", inventory, "database_hosts", "-m", "command", "-a", "id -un"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("CHANGED") == 2
    assert done.stdout.split().count("root") == 2


def test_reboot(fleet: Fleet) -> None:
    host = fleet.hosts()[0]
    before = boot_id(host)
    on_host(host, "sudo touch /kept /run/lost")
    fleet.reboot("db1")
    assert boot_id(host) != before
    assert on_host(host, "ls /kept") == "/kept"
    assert "No such file" in refuses(host, "ls /run/lost")


def test_stop_and_start(fleet: Fleet) -> None:
    fleet.stop("db1")
    assert [status.running for status in fleet.status()] == [False, True]
    assert not answers(fleet.hosts()[0].address, 22)
    fleet.start("db1")
    assert on_host(fleet.hosts()[0], "systemctl is-system-running") == "running"


def test_power_cut_and_start(fleet: Fleet) -> None:
    on_host(fleet.hosts()[0], "sudo sh -c 'echo written > /kept'")
    fleet.kill("db1")
    assert not fleet.status()[0].running
    fleet.start("db1")
    assert on_host(fleet.hosts()[0], "cat /kept; systemctl is-system-running") == "written\nrunning"


def test_network_cut_and_mended(fleet: Fleet) -> None:
    one, two = fleet.hosts()
    before = boot_id(one)
    fleet.cut("db1")
    assert not answers(one.address, 22)
    assert answers(two.address, 22)
    assert [status.plugged for status in fleet.status()] == [False, True]
    fleet.mend("db1")
    assert boot_id(one) == before


def test_unknown_and_stopped_hosts_are_told(fleet: Fleet) -> None:
    with pytest.raises(FleetError, match="There is no host db9"):
        fleet.stop("db9")
    fleet.stop("db2")
    with pytest.raises(FleetError, match="db2 is not running"):
        fleet.cut("db2")
    fleet.start("db2")
