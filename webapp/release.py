"""Pack this checkout, with the wheels that a host without internet needs, for playbooks/control_plane.yml."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from click import ClickException

CHECKOUT = Path(__file__).parent.parent
CONTENT = (
    "LICENSE",
    "agent_modules",
    "ansible.cfg",
    "dbhost",
    "inventory/local",
    "playbooks",
    "requirements-uv.txt",
    "requirements.txt",
    "roles",
    "webapp",
)
LEFT_OUT = {"__pycache__", "node_modules", "assets"}
REQUIREMENTS = ("requirements.txt", "requirements-uv.txt")
DEBIAN_PYTHON = "3.13"  # Debian 13's
GLIBC = ("2_39", "2_34", "2_28", "2_17")  # what wheels are built against, up to Debian 13's


def pack(folder: Path, version: str, *, wheels: bool, machine: str | None = None) -> Path:
    """The release's file in *folder*, named after what is in it: the same content gives the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"dbhost-{version}-{fingerprint(wheels=wheels, machine=machine or platform.machine())}"
    target = folder / f"{name}.tar.gz"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        partial = Path(scratch) / target.name
        with tarfile.open(partial, "w:gz", compresslevel=6) as archive:
            for path in files():
                archive.add(path, f"{name}/{path.relative_to(CHECKOUT)}", recursive=False, filter=of_root)
            if wheels:
                download_wheels(Path(scratch) / "wheels", machine or platform.machine())
                archive.add(Path(scratch) / "wheels", f"{name}/wheels", filter=of_root)
        partial.replace(target)
    return target


def files() -> Iterator[Path]:
    """Every file of a release, in order."""
    for entry in CONTENT:
        path = CHECKOUT / entry
        found = [path] if path.is_file() else sorted(below for below in path.rglob("*") if below.is_file())
        yield from (file for file in found if not LEFT_OUT.intersection(file.relative_to(CHECKOUT).parts))


def fingerprint(*, wheels: bool, machine: str) -> str:
    """Changes with the content of the release, and with the kind of machine that its wheels are for."""
    digest = hashlib.sha256(f"wheels for {machine}".encode() if wheels else b"")
    for path in files():
        digest.update(f"{path.relative_to(CHECKOUT)}\0{path.stat().st_mode & 0o111}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:12]


def of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """The release belongs to root, and everybody may read it."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    return entry


def download_wheels(folder: Path, machine: str) -> None:
    """Fetch the locked packages for Debian 13, by their hashes. Raises ClickException with pip's own words."""
    platforms = [f"--platform=manylinux_{version}_{machine}" for version in GLIBC]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    command += ["--only-binary=:all:", f"--python-version={DEBIAN_PYTHON}", *platforms, f"--dest={folder}"]
    for file in REQUIREMENTS:
        ended = subprocess.run(
            [*command, f"--requirement={CHECKOUT / file}"], capture_output=True, text=True, check=False
        )
        if ended.returncode:
            said = [line for line in ended.stderr.splitlines() if not line.startswith("WARNING")]
            raise ClickException("The packages could not be fetched:\n" + "\n".join(said[-5:]))
