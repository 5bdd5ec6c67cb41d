"""Real Debian 13 hosts on this machine: make them, switch them on and off, hurt them, and leave nothing behind."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from webapp.fleet import (
    access,
    image,
    inventory,
    keys,
    layer,
    network,
    packages_proxy,
    record,
    system_packages,
    teardown,
)
from webapp.fleet.access import FleetHost
from webapp.fleet.commands import Progress
from webapp.fleet.errors import FleetError
from webapp.fleet.machine import Machine
from webapp.fleet.names import MAX_HOSTS, FleetNames, bridge_address, host_address

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
IMAGES_VARIABLE = "DBHOST_FLEET_IMAGES"


@dataclass(frozen=True)
class HostStatus:
    """How one host is doing, without asking it."""

    name: str
    address: str
    running: bool
    plugged: bool


def _silent(_sentence: str) -> None:
    """The progress of a caller who wants none."""


class Fleet:
    """The hosts of one DBHOST_HOME. Every verb may be repeated, and holds the fleet's lock while it works."""

    def __init__(self, home: Path, *, images: Path | None = None, progress: Progress = _silent) -> None:
        """*images* may be shared between fleets; by default DBHOST_FLEET_IMAGES, or a folder of this fleet's own."""
        self.folder = home.resolve() / "fleet"
        self.names = FleetNames(self.folder)
        self.images = images or Path(os.environ.get(IMAGES_VARIABLE) or self.folder / "images").resolve()
        self.progress = progress

    @property
    def admin_key_file(self) -> Path:
        """Lets a person in as dbhost-admin, who may use sudo: for setting hosts up."""
        return self.folder / "keys/admin"

    @property
    def worker_key_file(self) -> Path:
        """The worker's own; host.yml is what lets it in, as a user without sudo."""
        return self.folder / "keys/worker"

    @property
    def known_hosts_file(self) -> Path:
        return self.folder / "known_hosts"

    def up(self, count: int) -> list[FleetHost]:
        """Make sure that hosts db1 to db<count> run and let their administrator in; more of them are left alone."""
        if not 1 <= count <= MAX_HOSTS:
            raise FleetError(f"A fleet has 1 to {MAX_HOSTS} hosts.")
        system_packages.require_machine()
        with self._locked():
            system_packages.ensure_installed(self.progress)
            known = record.ensure(self._record_file, self.names.tag, count)
            base = self._ensure_base(known)
            started = [self._switch_on(machine, base, known) for machine in self._machines(known)[:count]]
            for machine in started:
                self._wait_started(machine, known)
            self._write_inventory(known)
            return self._hosts(known)[:count]

    def stop(self, name: str) -> None:
        """Shut the host down in order, as `systemctl halt` would."""
        with self._locked():
            machine = self._machine(name)
            machine.wait_stopped(STOP_TIMEOUT_S)

    def start(self, name: str) -> None:
        """Switch the host on and wait until it lets its administrator in."""
        with self._locked():
            known = self._known()
            machine = self._machine(name)
            self._switch_on(machine, self._ensure_base(known), known)
            self._wait_started(machine, known)

    def reboot(self, name: str) -> None:
        """Reboot the host and wait until it is back."""
        with self._locked():
            machine = self._machine(name)
            machine.ask_to_reboot(STOP_TIMEOUT_S + START_TIMEOUT_S)
            self._wait_started(machine, self._known())

    def kill(self, name: str) -> None:
        """Cut the host's power. What it had written stays; nothing is told to end."""
        with self._locked():
            self._machine(name).cut_power()

    def cut(self, name: str) -> None:
        """Pull the host's network cable. A boot plugs it in again."""
        with self._locked():
            network.unplug(self.names, self._running(name).number)

    def mend(self, name: str) -> None:
        with self._locked():
            network.plug(self.names, self._running(name).number)

    def down(self, *, purge: bool = False) -> None:
        """Shut all hosts down and remove everything outside the fleet's folder; with *purge*, their disks and keys too.

        The image and the packages fetched stay, for the next `up`, unless they lie in the folder that is purged.
        """
        system_packages.require_machine()
        with self._locked():
            machines = self._machines(record.read(self._record_file))
            for machine in machines:
                machine.ask_to_stop()
            for machine in machines:
                machine.wait_stopped(STOP_TIMEOUT_S)
            teardown.sweep(self.names)
            if purge:
                self._remove_disks()

    def status(self) -> list[HostStatus]:
        known = record.read(self._record_file)
        if known is None:
            return []
        return [self._status(machine, known) for machine in self._machines(known)]

    def hosts(self) -> list[FleetHost]:
        """Every host that was ever made here and not purged."""
        known = record.read(self._record_file)
        return self._hosts(known) if known else []

    def write_inventory(self) -> Path:
        """Write the fleet's Ansible inventory and return its path."""
        with self._locked():
            return self._write_inventory(self._known())

    # -- the parts of a verb; the caller holds the lock

    def _ensure_base(self, known: record.Record) -> Path:
        """What every host stands on: keys, bridge, package proxy, image. Returns the image's folder."""
        keys.ensure_key(self.admin_key_file, "dbhost-admin")
        keys.ensure_key(self.worker_key_file, "dbhost-worker")
        network.ensure_bridge(self.names, known.network)
        address = bridge_address(known.network)
        packages_proxy.ensure_running(self.folder / "packages", f"{self.names.cgroup}/packages", address)
        cgroup = f"{self.names.cgroup}/image"
        return image.ensure_image(self.images, cgroup, packages_proxy.url(address), self.progress)

    def _switch_on(self, machine: Machine, base: Path, known: record.Record) -> Machine:
        if not machine.is_running():
            self.progress(f"Starting {machine.hostname}")
            layer.ensure_layer(machine.folder, self._identity(machine, known))
            self._pin_host_keys(known)
            machine.switch_on(base)
        return machine

    def _wait_started(self, machine: Machine, known: record.Record) -> None:
        host = self._host(machine, known)
        state = access.wait_started(host, START_TIMEOUT_S)
        self.progress(f"{host.name} ({host.address}) is {state}")

    def _identity(self, machine: Machine, known: record.Record) -> layer.Identity:
        return layer.Identity(
            hostname=machine.hostname,
            address=host_address(known.network, machine.number),
            prefix_length=known.network.prefixlen,
            proxy_url=packages_proxy.url(bridge_address(known.network)),
            host_key=keys.ensure_key(self._host_key_file(machine), machine.hostname),
            admin_key=self.admin_key_file,
        )

    def _pin_host_keys(self, known: record.Record) -> None:
        made = [machine for machine in self._machines(known) if self._host_key_file(machine).exists()]
        lines = [
            keys.known_hosts_line(str(host_address(known.network, machine.number)), self._host_key_file(machine))
            for machine in made
        ]
        self.known_hosts_file.write_text("".join(lines))

    def _write_inventory(self, known: record.Record) -> Path:
        self.names.control_sockets.mkdir(mode=0o700, exist_ok=True)
        file = self.folder / "inventory.yml"
        file.write_text(inventory.as_yaml(self._hosts(known), self.names.control_sockets))
        return file

    def _remove_disks(self) -> None:
        for name in ("hosts", "keys", "host_keys"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for file in (self._record_file, self.known_hosts_file, self.folder / "inventory.yml"):
            file.unlink(missing_ok=True)

    # -- what is where

    @property
    def _record_file(self) -> Path:
        return self.folder / "fleet.json"

    def _host_key_file(self, machine: Machine) -> Path:
        return self.folder / "host_keys" / machine.hostname

    def _known(self) -> record.Record:
        known = record.read(self._record_file)
        if known is None:
            raise FleetError("There are no hosts here yet; `./dbhost up --hosts N` makes them.")
        return known

    def _machines(self, known: record.Record | None) -> list[Machine]:
        numbers = known.numbers() if known else ()
        return [Machine(self.names, n, f"db{n}", self.folder / "hosts" / f"db{n}") for n in numbers]

    def _machine(self, name: str) -> Machine:
        for machine in self._machines(self._known()):
            if machine.hostname == name:
                return machine
        raise FleetError(f"There is no host {name} here.")

    def _running(self, name: str) -> Machine:
        machine = self._machine(name)
        if not machine.is_running():
            raise FleetError(f"{name} is not running.")
        return machine

    def _hosts(self, known: record.Record) -> list[FleetHost]:
        return [self._host(machine, known) for machine in self._machines(known)]

    def _host(self, machine: Machine, known: record.Record) -> FleetHost:
        address = str(host_address(known.network, machine.number))
        return FleetHost(machine.hostname, address, access.SSH_PORT, self.admin_key_file, self.known_hosts_file)

    def _status(self, machine: Machine, known: record.Record) -> HostStatus:
        address = str(host_address(known.network, machine.number))
        plugged = network.is_plugged(self.names, machine.number)
        return HostStatus(machine.hostname, address, machine.is_running(), plugged)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time; the kernel gives the lock back when its holder dies."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
