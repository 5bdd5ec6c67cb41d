"""The system libraries that the wheel's PostgreSQL needs, and installing packages where root may."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from webapp.embedded.environment import StackError, postgres_bin

# Releases name some packages differently: the first name that apt knows is taken.
LIBRARY_PACKAGES = {
    "libssl.so.3": ("libssl3t64", "libssl3"),
    "libcrypto.so.3": ("libssl3t64", "libssl3"),
    "libxml2.so.2": ("libxml2",),
    "libgssapi_krb5.so.2": ("libgssapi-krb5-2",),
    "libkrb5.so.3": ("libkrb5-3",),
    "liblz4.so.1": ("liblz4-1",),
    "libzstd.so.1": ("libzstd1",),
    "libreadline.so.8": ("libreadline8t64", "libreadline8"),
    "libz.so.1": ("zlib1g",),
    "libevent-2.1.so.7": ("libevent-2.1-7t64", "libevent-2.1-7"),
    "libcares.so.2": ("libcares2", "libc-ares2"),
    "libpam.so.0": ("libpam0g",),
    "libsystemd.so.0": ("libsystemd0",),
    "libldap.so.2": ("libldap2",),
    "libossp-uuid.so.16": ("libossp-uuid16",),
}
INSTALL = ("apt-get", "install", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120")


def missing_libraries(programs: list[Path] | None = None) -> list[str]:
    """Shared libraries that the programs ask for and the system does not have."""
    return sorted({name for program in programs or postgres_programs() for name in unresolved(program)})


def postgres_programs() -> list[Path]:
    return [postgres_bin() / name for name in ("postgres", "psql", "initdb")]


def extension_modules() -> list[Path]:
    """What PostgreSQL loads when somebody uses an extension that every owner of a database may create."""
    root = postgres_bin().parent
    texts = (path.read_text(encoding="utf-8") for path in sorted(root.glob("share/**/extension/*.control")))
    trusted = (text for text in texts if re.search(r"^trusted\s*=\s*true", text, re.MULTILINE))
    names = (re.search(r"^module_pathname\s*=\s*'\$libdir/([^']+)'", text, re.MULTILINE) for text in trusted)
    modules = (root / "lib" / f"{name[1]}.so" for name in names if name)
    return [module for module in modules if module.exists()]


def missing_for_extensions() -> list[str]:
    """Libraries without which some extension cannot be created, though everything else works."""
    modules = extension_modules()
    return missing_libraries(modules) if modules else []


def provide_for_extensions() -> str | None:
    """Install what extensions need where that is possible; otherwise say what will not work, and what to do."""
    if not missing_for_extensions():
        return None
    try:
        install_missing(extension_modules())
    except StackError as error:
        return f"Some extensions cannot be created (uuid-ossp needs libossp-uuid). {error}"
    return None


def unresolved(program: Path) -> list[str]:
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    return [line.split()[0] for line in listed.splitlines() if "not found" in line and "=>" in line]


def install_missing(programs: list[Path] | None = None) -> None:
    """Have every library that the programs ask for, or say what an administrator must install."""
    names = missing_libraries(programs)
    if not names:
        return
    unknown = [name for name in names if name not in LIBRARY_PACKAGES]
    if unknown or shutil.which("apt-get") is None:
        raise StackError(
            f"These shared libraries are missing: {', '.join(names)}. Install them with your package manager."
        )
    install([LIBRARY_PACKAGES[name] for name in names])


def install(alternatives: list[tuple[str, ...]]) -> None:
    """Install, of each tuple, the first package that apt knows. As an ordinary user, say what to ask for instead."""
    if not alternatives:
        return
    if os.geteuid() != 0:
        wanted = " ".join(sorted({names[-1] for names in alternatives}))
        raise StackError(f"System packages are missing. Ask an administrator to run: apt-get install {wanted}")
    if not all(map(first_known, alternatives)):
        run_apt(["apt-get", "update"])
    chosen = sorted({first_known(names) or names[-1] for names in alternatives})
    if run_apt([*INSTALL, *chosen], required=False) != 0:
        # The lists may be older than the archive: what they name is gone from it.
        run_apt(["apt-get", "update"])
        run_apt([*INSTALL, *chosen])


def first_known(names: tuple[str, ...]) -> str | None:
    return next((name for name in names if candidate(name)), None)


def candidate(name: str) -> str | None:
    """The version that apt would install, or None."""
    policy = subprocess.run(["apt-cache", "policy", name], capture_output=True, text=True, check=False).stdout
    versions = [line.split(":", 1)[1].strip() for line in policy.splitlines() if line.strip().startswith("Candidate:")]
    return versions[0] if versions and versions[0] != "(none)" else None


def run_apt(command: list[str], *, required: bool = True) -> int:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ended.returncode != 0 and required:
        said = "\n".join(ended.stderr.strip().splitlines()[-5:])
        raise StackError(f"`{' '.join(command)}` failed:\n{said}")
    return ended.returncode
