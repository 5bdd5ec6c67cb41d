"""Ask hosts and the machine below them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from webapp.fleet import Fleet, FleetHost, ssh_command
from webapp.fleet.cgroups import MOUNTS

BANNER = b"SSH-2.0"


def on_host(host: FleetHost, command: str, timeout_s: float = 60) -> str:
    """The output of *command* on the host; fails with its words when it does not end well."""
    done = subprocess.run(
        ssh_command(host, command),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{host.name}: {command}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def refuses(host: FleetHost, command: str, timeout_s: float = 60) -> str:
    """What *command* says on the host when it fails, as it must."""
    done = subprocess.run(ssh_command(host, command), capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode not in (0, 255), f"{host.name}: {command}\n{done.stdout}{done.stderr}"
    return done.stderr


def answers(address: str, port: int, timeout_s: float = 1) -> bool:
    try:
        with socket.create_connection((address, port), timeout=timeout_s):
            return True
    except OSError:
        return False


def wait_answers(address: str, port: int, within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not answers(address, port):
        assert time.monotonic() < deadline, f"{address}:{port} does not answer"
        time.sleep(0.1)


def boot_id(host: FleetHost) -> str:
    """Changes with each boot of a machine; hosts share their machine's, so ask when the host's init began."""
    return on_host(host, "systemctl show --property=UserspaceTimestampMonotonic --value")


@dataclass(frozen=True)
class Machine:
    """What a fleet could leave behind, but for processes."""

    links: frozenset[str]
    namespaces: frozenset[str]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    runtime: frozenset[str]

    @classmethod
    def now(cls) -> Machine:
        links = json.loads(subprocess.check_output(["ip", "-json", "link", "show"]))
        return cls(
            links=frozenset(link["ifname"] for link in links),
            namespaces=_entries(Path("/run/netns")),
            mounts=frozenset(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
            cgroups=frozenset(str(folder) for folder in MOUNTS.rglob("dbhost-*")),
            runtime=_entries(Path("/run")) | _entries(Path("/run/systemd/nspawn")),
        )

    def left_by(self, fleet: Fleet, within_s: float = 12) -> list[str]:
        """What is there now, was not before, and is not another fleet's."""
        new: set[str] = set()
        for kind in ("links", "namespaces", "mounts", "cgroups", "runtime"):
            new |= getattr(Machine.now(), kind) - getattr(self, kind)
        others = {name for name in new if "dbh" in name and fleet.names.tag not in name}
        # Tests beside this one fill small filesystems of their own; mount(8) then keeps its table in /run/mount.
        others |= {name for name in new if name == "mount" or "/pytest-" in name}
        return sorted(new - others) + processes_of(fleet, within_s)


def _entries(folder: Path) -> frozenset[str]:
    return frozenset(entry.name for entry in folder.iterdir()) if folder.is_dir() else frozenset()


def processes_of(fleet: Fleet, within_s: float) -> list[str]:
    """Processes in the fleet's cgroups, or with its folder or name in their command; those that are ending may end."""
    deadline = time.monotonic() + within_s
    while (found := _processes_of(fleet)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _processes_of(fleet: Fleet) -> list[str]:
    found = []
    own = _ancestors()
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name in own:
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cgroup = (folder / "cgroup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fleet.names.cgroup in cgroup or fleet.names.tag in command or str(fleet.folder) in command:
            found.append(f"{folder.name} {command}")
    return found


def _ancestors() -> set[str]:
    """This process and those that wait for it, which may well name the fleet they look for."""
    found, pid = set(), str(os.getpid())
    while pid != "0":
        found.add(pid)
        pid = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    return found
