"""The image that all hosts share: a minimal Debian 13 with systemd, OpenSSH, Python and psycopg, made once and kept."""

from __future__ import annotations

import hashlib
import shutil
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
SETUP = processes.SCRIPTS / "image.sh"
BUILD_TIMEOUT_S = 900


def fingerprint() -> str:
    """Changes with everything the image is made from, but for the mirror's content."""
    recipe = "\n".join([SUITE, *SOURCES, *PACKAGES, *_options("", "", Path()), SETUP.read_text()])
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def ensure_image(folder: Path, cgroup: str, proxy_url: str, progress: Progress) -> Path:
    """The image's folder, built when there is none for the present recipe. A build that was cut short is begun anew."""
    image = folder / f"debian-13-{fingerprint()}"
    if image.exists():
        return image
    progress("Making the image of Debian 13 (once; about half a minute)")
    partial = image.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    options = _options(proxy_url, str(SETUP), partial)
    processes.run_to_end(cgroup, "mmdebstrap", *options, *SOURCES, timeout_s=BUILD_TIMEOUT_S)
    partial.rename(image)
    return image


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
