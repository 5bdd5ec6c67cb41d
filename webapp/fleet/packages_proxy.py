"""The hosts' way to packages: an apt-cacher-ng of our own on the bridge, which keeps what it fetched."""

from __future__ import annotations

import shutil
import socket
import time
from ipaddress import IPv4Address
from pathlib import Path

from webapp.fleet import cgroups, packages_store, processes
from webapp.fleet.commands import run
from webapp.fleet.errors import FleetError

OS_USER = "apt-cacher-ng"
PACKAGES_PORT = 3143  # not 3142: a proxy of the machine's own may listen there on every address
READY_WITHIN_S = 15.0
POLL_S = 0.05
# Without the package's own Remap-* lines: they send Debian's addresses to a list of mirrors, and answer 503 for it.
CONFIGURATION = """\
CacheDir: /var/cache/apt-cacher-ng
LogDir: /var/log/apt-cacher-ng
SupportDir: /usr/lib/apt-cacher-ng
BindAddress: {address}
Port: {port}
ForeGround: 1
ExThreshold: 4
"""


def url(address: IPv4Address) -> str:
    return f"http://{address}:{PACKAGES_PORT}"


def ensure_running(folder: Path, cgroup: str, address: IPv4Address, store: Path) -> None:
    """Start the proxy on *address* unless it runs, with the packages of *store*; return when it listens."""
    if _listens(address):
        return
    cgroups.remove(cgroup)
    _write_folders(folder, address)
    packages_store.take(store, folder / "cache", OS_USER)
    processes.start(cgroup, "sh", str(processes.SCRIPTS / "proxy.sh"), str(folder), log_file=folder / "console.log")
    deadline = time.monotonic() + READY_WITHIN_S
    while not _listens(address):
        if time.monotonic() > deadline:
            raise FleetError(f"The package proxy does not listen on {url(address)}; see {folder / 'console.log'}.")
        time.sleep(POLL_S)


def _write_folders(folder: Path, address: IPv4Address) -> None:
    for name in ("etc", "cache", "log"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("cache", "log"):
        shutil.chown(folder / name, OS_USER, OS_USER)
    settings = CONFIGURATION.format(address=address, port=PACKAGES_PORT)
    outer = _machines_own_proxy()
    (folder / "etc/acng.conf").write_text(settings + (f"Proxy: {outer}\n" if outer else ""))


def _machines_own_proxy() -> str:
    """The proxy that this machine's own apt goes through, or an empty string."""
    answer = run("apt-config", "shell", "proxy", "Acquire::http::Proxy").strip()
    return answer.removeprefix("proxy=").strip("'")


def _listens(address: IPv4Address) -> bool:
    try:
        with socket.create_connection((str(address), PACKAGES_PORT), timeout=1):
            return True
    except OSError:
        return False
