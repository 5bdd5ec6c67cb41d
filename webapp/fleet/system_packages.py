"""The packages that this machine needs to run hosts, installed by apt, with no service started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from webapp.fleet.commands import Progress, run, succeeds
from webapp.fleet.errors import FleetError

# What is looked for, and the package that has it.
NEEDED = {
    "/usr/bin/mmdebstrap": "mmdebstrap",
    "/usr/bin/systemd-nspawn": "systemd-container",
    "/usr/sbin/apt-cacher-ng": "apt-cacher-ng",
    "/usr/bin/ssh-keygen": "openssh-client",
    "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
}
SYSTEM_PROXY = "apt-cacher-ng"
POLICY_FILE = Path("/usr/sbin/policy-rc.d")
POLICY = "#!/bin/sh\n# Written by dbhost while it installs packages: start no service.\nexit 101\n"
INSTALL_TIMEOUT_S = 600
APT_GET = ("apt-get", "-o", "DPkg::Lock::Timeout=120")


def require_machine() -> None:
    """Raises FleetError unless this is root on Debian or Ubuntu."""
    if os.geteuid() != 0:
        raise FleetError("Hosts need root: run `sudo ./dbhost up --hosts N`, or `./dbhost up` for the embedded stack.")
    release = _os_release()
    if not {"debian", "ubuntu"} & {release.get("ID", ""), *release.get("ID_LIKE", "").split()}:
        system = release.get("PRETTY_NAME", "this system")
        raise FleetError(f"Hosts need Debian or Ubuntu, and this is {system}. `./dbhost up` works on any Linux.")
    if "overlay" not in Path("/proc/filesystems").read_text() and not succeeds("modprobe", "overlay"):
        raise FleetError("Hosts need the kernel's overlay filesystem, which this machine does not have.")


def _os_release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines()
    return {key: value.strip('"') for key, found, value in (line.partition("=") for line in lines) if found}


def ensure_installed(progress: Progress) -> None:
    """Install what is missing; nothing is asked of the network when all is there."""
    _remove_policy()
    missing = sorted(package for path, package in NEEDED.items() if not Path(path).exists())
    if not missing:
        return
    progress(f"Installing {', '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(*APT_GET, "update", environment=environment, timeout_s=INSTALL_TIMEOUT_S)
    with _no_service_starts():
        install = [*APT_GET, "install", "--yes", "--no-install-recommends", *missing]
        run(*install, environment=environment, timeout_s=INSTALL_TIMEOUT_S)
    if SYSTEM_PROXY in missing:
        succeeds("systemctl", "disable", SYSTEM_PROXY)  # the fleet runs its own, with its own folder


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Keep package scripts from starting services, where the machine has no policy of its own."""
    if not POLICY_FILE.exists():
        POLICY_FILE.write_text(POLICY)
        POLICY_FILE.chmod(0o755)
    try:
        yield
    finally:
        _remove_policy()


def _remove_policy() -> None:
    """Ours only; also one that a killed `up` left behind."""
    if POLICY_FILE.exists() and POLICY_FILE.read_text() == POLICY:
        POLICY_FILE.unlink()
