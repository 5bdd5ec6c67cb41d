"""Real Debian 13 hosts on this machine: make them, switch them on and off, hurt them, and leave nothing behind."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webapp.fleet import access, certificates, foundation, inventories, network, record, system_packages, teardown
from webapp.fleet.access import FleetHost
from webapp.fleet.commands import Progress
from webapp.fleet.errors import FleetError
from webapp.fleet.machine import Machine
from webapp.fleet.names import MAX_HOSTS, FleetNames
from webapp.fleet.record import Record

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

    def __init__(
        self, home: Path, *, images: Path | None = None, with_packages: bool = False, progress: Progress = _silent
    ) -> None:
        """*images* may be shared between fleets; by default DBHOST_FLEET_IMAGES, or a folder of this fleet's own.

        *with_packages*: new hosts begin with what the roles would install, and not as bare as a rented server.
        """
        self.names = FleetNames(home.resolve() / "fleet")
        self.images = (images or Path(os.environ.get(IMAGES_VARIABLE) or self.folder / "images")).resolve()
        self.with_packages = with_packages
        self.progress = progress

    @property
    def folder(self) -> Path:
        return self.names.folder

    @property
    def admin_key_file(self) -> Path:
        """Lets a person in as dbhost-admin, who may use sudo: for setting hosts up."""
        return self.names.admin_key_file

    @property
    def worker_key_file(self) -> Path:
        """The worker's own; host.yml is what lets it in, as a user without sudo."""
        return self.names.worker_key_file

    @property
    def known_hosts_file(self) -> Path:
        return self.names.known_hosts_file

    def up(self, count: int) -> list[FleetHost]:
        """Make sure that hosts db1 to db<count> run and let their administrator in; more of them are left alone."""
        if not 1 <= count <= MAX_HOSTS:
            raise FleetError(f"A fleet has 1 to {MAX_HOSTS} hosts.")
        system_packages.require_machine()
        with self._locked():
            system_packages.ensure_installed(self.progress)
            known = record.ensure(self.names.record_file, self.names.tag, count)
            self._switch_on(known, self._machines(known)[:count])
            self._write_inventory(known)
            return self._hosts(known)[:count]

    def stop(self, name: str) -> None:
        """Shut the host down in order, as `systemctl poweroff` would."""
        with self._locked():
            self._machine(name).wait_stopped(STOP_TIMEOUT_S)

    def start(self, name: str) -> None:
        """Switch the host on and wait until it lets its administrator in."""
        with self._locked():
            self._switch_on(self._known(), [self._machine(name)])

    def reboot(self, name: str) -> None:
        """Reboot the host and wait until it is back."""
        with self._locked():
            machine = self._running(name)
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
        """Plug the cable in again."""
        with self._locked():
            network.plug(self.names, self._running(name).number)

    def down(self, *, purge: bool = False) -> None:
        """Shut all hosts down and remove everything outside the fleet's folder; with *purge*, their disks and keys too.

        The image and the packages that were fetched stay for the next `up`.
        """
        system_packages.require_machine()
        with self._locked():
            machines = self._machines(record.read(self.names.record_file))
            for machine in machines:
                machine.ask_to_stop()
            for machine in machines:
                machine.wait_stopped(STOP_TIMEOUT_S)
            teardown.sweep(self.names)
            foundation.keep_packages(self.names, self.images)
            if purge:
                foundation.remove(self.names)

    def status(self) -> list[HostStatus]:
        """Every host of hosts(), running or not."""
        known = record.read(self.names.record_file)
        return [self._status(machine, known) for machine in self._machines(known)] if known else []

    def hosts(self) -> list[FleetHost]:
        """Every host that was ever made here and not purged."""
        known = record.read(self.names.record_file)
        return self._hosts(known) if known else []

    def write_inventory(self) -> Path:
        """Write the fleet's Ansible inventory, by which its administrator sets hosts up, and return its path."""
        with self._locked():
            return self._write_inventory(self._known())

    def variables(self) -> dict[str, Any]:
        """What host.yml must know of these hosts besides how to reach them."""
        return inventories.variables(self.names, self._known())

    # The parts of a verb; the caller holds the lock.

    def _switch_on(self, known: Record, machines: list[Machine]) -> None:
        """Start those that do not run, all at once, then wait for each."""
        base = foundation.ensure(self.names, self.images, known, self.progress, with_packages=self.with_packages)
        for machine in machines:
            if not machine.is_running():
                self.progress(f"Starting {machine.hostname}")
                foundation.ensure_disk(machine, known, base)
                machine.switch_on()
        for machine in machines:
            self._wait_started(machine, known)

    def _wait_started(self, machine: Machine, known: Record) -> None:
        host = self._host(machine, known)
        state = access.wait_started(host, START_TIMEOUT_S)
        self.progress(f"{host.name} ({host.address}) is {state}")

    def _write_inventory(self, known: Record) -> Path:
        hosts = self._hosts(known)
        certificates.ensure(self.names.authority, self.names.certificates, hosts)
        return inventories.write(self.names, hosts, known)

    def _known(self) -> Record:
        known = record.read(self.names.record_file)
        if known is None:
            raise FleetError("There are no hosts here yet; `./dbhost up --hosts N` makes them.")
        return known

    def _machines(self, known: Record | None) -> list[Machine]:
        return [Machine(self.names, number) for number in known.numbers()] if known else []

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

    def _hosts(self, known: Record) -> list[FleetHost]:
        return [self._host(machine, known) for machine in self._machines(known)]

    def _host(self, machine: Machine, known: Record) -> FleetHost:
        address = str(known.address(machine.number))
        return FleetHost(machine.hostname, address, access.SSH_PORT, self.admin_key_file, self.known_hosts_file)

    def _status(self, machine: Machine, known: Record) -> HostStatus:
        plugged = network.is_plugged(self.names, machine.number)
        return HostStatus(machine.hostname, str(known.address(machine.number)), machine.is_running(), plugged)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One command at a time; the kernel gives the lock back when its holder dies."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
