"""The images that hosts share, made once and kept: a minimal Debian 13 with systemd, OpenSSH, Python and psycopg; and
one with the packages besides that the roles install, so that a host is set up without waiting for dpkg.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from webapp.fleet import processes
from webapp.fleet.commands import Progress

SUITE = "trixie"
MIRROR = "http://deb.debian.org/debian"
SOURCES = (
    f"deb {MIRROR} {SUITE} main",
    f"deb {MIRROR} {SUITE}-updates main",
    f"deb {MIRROR}-security {SUITE}-security main",
)
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
PACKAGES = (
    "ca-certificates",
    "dbus",
    "iproute2",
    "libpam-systemd",
    "openssh-server",
    "python3",
    "python3-psycopg",
    "sudo",
    "systemd-sysv",
)
# What roles install by default (a test compares): they find it there, and do all else that they do on a bare host.
OF_ROLES = (
    "age",
    "caddy",
    "nftables",
    "openssh-client",
    "pgbouncer",
    "postgresql-17",
    "python3-apt",
    "python3-venv",
    "unattended-upgrades",
)
SETUP = processes.SCRIPTS / "image.sh"
SETUP_OF_ROLES = processes.SCRIPTS / "packages.sh"
BUILD_TIMEOUT_S = 900


def fingerprint() -> str:
    """Changes with everything the bare image is made from, but for the mirror's content."""
    return _digest(SUITE, *SOURCES, *PACKAGES, *_options("", "", Path()), SETUP.read_text())


def ensure_image(folder: Path, cgroup: str, proxy_url: str, progress: Progress, *, with_packages: bool) -> Path:
    """The image's folder, built when there is none for the present recipe. A build that was cut short is begun anew."""
    folder.mkdir(parents=True, exist_ok=True)
    bare = folder / f"debian-13-{fingerprint()}"
    full = folder / f"{bare.name}-{_digest(*OF_ROLES, SETUP_OF_ROLES.read_text())}"
    with (folder / "lock").open("w") as lock:  # fleets that share images build each once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if with_packages and full.exists():
            return full
        if not bare.exists():
            progress("Making the image of Debian 13 (once; about half a minute)")
            _build(bare, cgroup, lambda partial: ["mmdebstrap", *_options(proxy_url, str(SETUP), partial), *SOURCES])
        if not with_packages:
            return bare
        progress("Making the image with the roles' packages (once; about half a minute)")
        _build(full, cgroup, lambda partial: ["sh", str(SETUP_OF_ROLES), str(bare), str(partial), proxy_url, *OF_ROLES])
        return full


def _build(image: Path, cgroup: str, command: Callable[[Path], list[str]]) -> None:
    """Have the command make the image beside its place, and put it there whole."""
    partial = image.with_name(f"{image.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    processes.run_to_end(cgroup, *command(partial), timeout_s=BUILD_TIMEOUT_S)
    partial.rename(image)


def _digest(*recipe: str) -> str:
    return hashlib.sha256("\n".join(recipe).encode()).hexdigest()[:12]


def _options(proxy_url: str, setup: str, target: Path) -> list[str]:
    return [
        "--mode=root",
        "--variant=apt",
        "--format=directory",
        f"--keyring={KEYRING}",
        f"--include={','.join(PACKAGES)}",
        f'--aptopt=Acquire::http::Proxy "{proxy_url}"',
        "--dpkgopt=force-unsafe-io",  # a host's disk is a folder of this machine: fsync per file buys nothing
        f'--customize-hook=sh {setup} "$1"',
        SUITE,
        str(target),
    ]
