"""Names, addresses and the record, without a host."""

from __future__ import annotations

import os
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import yaml

from webapp.fleet import FleetError, FleetHost, inventory, record, system_packages
from webapp.fleet.machine import is_init
from webapp.fleet.names import MAX_HOSTS, RANGES, FleetNames, free_network

LONGEST_INTERFACE_NAME = 15


def test_names_fit_the_kernel_and_differ_between_fleets() -> None:
    one, two = FleetNames(Path("/one/fleet")), FleetNames(Path("/two/fleet"))
    for name in (one.bridge, one.link(1), one.link(MAX_HOSTS)):
        assert len(name) <= LONGEST_INTERFACE_NAME
    assert one.link(MAX_HOSTS).startswith(one.link_prefix)
    assert {one.bridge, one.cgroup, one.machine(1)}.isdisjoint({two.bridge, two.cgroup, two.machine(1)})


def test_a_network_that_is_taken_is_passed_over() -> None:
    first = free_network("000000", [])
    assert first.subnet_of(RANGES)
    assert not free_network("000000", [IPv4Network("10.192.0.0/16")]).overlaps(IPv4Network("10.192.0.0/16"))
    with pytest.raises(FleetError, match="is free"):
        free_network("000000", [IPv4Network("10.0.0.0/8")])


def test_addresses_do_not_collide() -> None:
    network = IPv4Network("10.192.7.0/24")
    known = record.Record(network, MAX_HOSTS)
    addresses = {known.address(number) for number in known.numbers()} | {known.bridge_address}
    assert len(addresses) == MAX_HOSTS + 1
    assert all(address in network for address in addresses)


def test_the_record_grows_and_keeps_its_network(tmp_path: Path) -> None:
    file = tmp_path / "fleet.json"
    assert record.read(file) is None
    network = IPv4Network("10.192.7.0/24")
    record.write(file, record.Record(network, 2))
    assert record.ensure(file, "000000", 1) == record.Record(network, 2)
    assert record.ensure(file, "000000", 3) == record.read(file) == record.Record(network, 3)


def test_the_inventory_pins_keys(tmp_path: Path) -> None:
    host = FleetHost("db1", "10.192.7.11", 22, tmp_path / "keys/admin", tmp_path / "known_hosts")
    login = inventory.Login("dbhost-agent", False, tmp_path / "keys/worker", Path("/run/dbh"))
    tree = yaml.safe_load(inventory.as_yaml([host], login, {}))
    group = tree["all"]["children"]["database_hosts"]["children"]["fleet"]
    assert group["hosts"] == {"db1": {"ansible_host": "10.192.7.11", "ansible_port": 22}}
    assert (group["vars"]["ansible_user"], group["vars"]["ansible_become"]) == ("dbhost-agent", False)
    assert "StrictHostKeyChecking=yes" in group["vars"]["ansible_ssh_common_args"]
    assert f"UserKnownHostsFile={tmp_path}/known_hosts" in group["vars"]["ansible_ssh_common_args"]


def test_who_is_not_root_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(FleetError, match="need root"):
        system_packages.require_machine()


def test_only_number_one_of_a_namespace_is_its_init() -> None:
    assert is_init(1)
    assert not is_init(os.getpid())
    assert not is_init(2**22 + 1)
