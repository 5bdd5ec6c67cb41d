"""Get PgBouncer from Debian: the release's own where it is new enough, else built from the newest source package.

Nothing of another release is installed: only the source is taken from there, by a private apt configuration whose
signatures apt checks, and built against this system's libraries.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from webapp.embedded import packages, pgbouncer_patch
from webapp.embedded.environment import StackError
from webapp.embedded.progress import Progress

SUITES = ("sid", "stable-backports", "stable")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TOOLS = {
    "gcc": "build-essential",
    "make": "build-essential",
    "dpkg-source": "build-essential",
    "pkg-config": "pkg-config",
}
INCLUDE = Path("/usr/include")
HEADERS = {"event2/event.h": "libevent-dev", "openssl/ssl.h": "libssl-dev"}
BY_HAND = "Or set DBHOST_PGBOUNCER_BIN to a PgBouncer 1.21 or newer."


def build(progress: Progress, is_good: Callable[[Path], bool]) -> Path:
    """A PgBouncer that runs here, in a scratch folder of its own that the caller removes."""
    if shutil.which("apt-get") is None or not KEYRING.exists():
        raise StackError(
            f"PgBouncer is only built on Debian; elsewhere install it with your package manager. {BY_HAND}"
        )
    scratch = Path(tempfile.mkdtemp(prefix="dbhost-pgbouncer-"))
    try:
        for program in candidates(scratch, progress):
            if is_good(program):
                return keep(program, scratch)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    shutil.rmtree(scratch, ignore_errors=True)
    raise StackError(f"No PgBouncer could be fetched and built from {', '.join(SUITES)}. {BY_HAND}")


def keep(program: Path, scratch: Path) -> Path:
    kept = scratch / "pgbouncer"
    shutil.copyfile(program, kept)
    kept.chmod(0o755)
    return kept


def candidates(scratch: Path, progress: Progress) -> Iterator[Path]:
    """The release's own program, then a build of each suite's source, newest first; each made when it is asked for."""
    mirror = archive_mirror()
    own = packaged_program(scratch)
    if own is not None:
        yield own
    headers = build_requirements(scratch)
    for suite in SUITES:
        progress.detail(f"PgBouncer: fetch the source package of {suite}")
        source = fetch_source(scratch / suite, mirror, suite)
        if source is not None:
            progress.detail(f"PgBouncer: compile the source package of {suite}")
            program = compiled(source, headers)
            if program is not None:
                yield program


def archive_mirror() -> str:
    """The Debian mirror that this machine uses already."""
    listed = output(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
    mirrors = [line for line in listed.splitlines() if line.rstrip("/").endswith("/debian")]
    if not mirrors:
        raise StackError(f"apt has no Debian mirror configured, so PgBouncer's source cannot be fetched. {BY_HAND}")
    return mirrors[0]


def packaged_program(scratch: Path) -> Path | None:
    """The program out of this release's package. It is not installed: its service would take the port."""
    folder = scratch / "package"
    folder.mkdir()
    if packages.candidate("pgbouncer") is None or not succeeds(["apt-get", "download", "pgbouncer"], folder):
        return None
    for package in folder.glob("*.deb"):
        succeeds(["dpkg-deb", "--extract", str(package), str(folder / "root")], folder)
    program = folder / "root" / "usr" / "sbin" / "pgbouncer"
    if os.geteuid() == 0 and program.exists():
        # A library that cannot be had leaves a program that does not run: the sources come next.
        with suppress(StackError):
            packages.install_missing([program])
    return program if program.exists() else None


def build_requirements(scratch: Path) -> Path | None:
    """Have compiler and headers. An ordinary user gets the headers in a private folder, which is returned."""
    tools = {package for tool, package in TOOLS.items() if shutil.which(tool) is None}
    headers = {package for header, package in HEADERS.items() if not header_exists(header)}
    if os.geteuid() == 0 or tools:
        packages.install([(name,) for name in sorted(tools | headers)])
        return None
    return private_headers(scratch / "headers", sorted(headers)) if headers else None


def header_exists(header: str) -> bool:
    return any((folder / header).exists() for folder in [INCLUDE, *INCLUDE.glob("*-linux-*")])


def private_headers(folder: Path, names: list[str]) -> Path:
    """Extract -dev packages below *folder*, their links to libraries pointed at the system's."""
    folder.mkdir()
    if not succeeds(["apt-get", "download", *names], folder):
        wanted = " ".join(names)
        raise StackError(f"Headers are missing. Ask an administrator to run: apt-get install {wanted}. {BY_HAND}")
    for package in folder.glob("*.deb"):
        succeeds(["dpkg-deb", "--extract", str(package), str(folder)], folder)
    for link in folder.glob("usr/lib/*/*.so"):
        target = Path("/", link.relative_to(folder).parent, link.readlink().name)
        link.unlink()
        if target.exists():
            link.symlink_to(target)
    return folder


def fetch_source(folder: Path, mirror: str, suite: str) -> Path | None:
    """The unpacked source package of *suite*, Debian's patches applied, or None. apt checks signature and hashes."""
    for name in ("lists/partial", "cache/archives/partial", "source"):
        (folder / name).mkdir(parents=True)
    (folder / "sources.list").write_text(f"deb-src [signed-by={KEYRING}] {mirror} {suite} main\n")
    private = [
        *("-o", f"Dir::Etc::sourcelist={folder / 'sources.list'}"),
        *("-o", "Dir::Etc::sourceparts=-"),
        *("-o", f"Dir::State::lists={folder / 'lists'}"),
        *("-o", f"Dir::Cache={folder / 'cache'}"),
        *("-o", "APT::Sandbox::User=root"),
        *("-o", "Acquire::Languages=none"),
    ]
    source = folder / "source"
    fetched = succeeds(["apt-get", *private, "update"], folder) and succeeds(
        ["apt-get", *private, "--download-only", "source", "pgbouncer"], source
    )
    described = next(source.glob("*.dsc"), None)
    if not fetched or described is None:
        return None
    unpacked = source / "pgbouncer"
    # The hashes were checked by apt against the signed index; the packager's own key is not in the keyring.
    return (
        unpacked
        if succeeds(["dpkg-source", "--no-check", "--extract", described.name, unpacked.name], source)
        else None
    )


def compiled(source: Path, headers: Path | None) -> Path | None:
    """The program built in *source*, or None when this suite's source does not build here."""
    pgbouncer_patch.apply(source)
    environment = {**os.environ, **header_flags(headers)}
    configure = ["./configure", "--without-cares", "--without-pam", "--without-systemd"]
    built = succeeds(configure, source, environment) and succeeds(["make", "-j2", "pgbouncer"], source, environment)
    return source / "pgbouncer" if built else None


def header_flags(headers: Path | None) -> dict[str, str]:
    """libevent is linked in whole from the private folder: a machine without its headers may lack the library too."""
    if headers is None:
        return {}
    includes = " ".join(f"-I{folder}" for folder in [headers / "usr/include", *headers.glob("usr/include/*-linux-*")])
    libraries = " ".join(f"-L{folder}" for folder in headers.glob("usr/lib/*"))
    archive = next(headers.glob("usr/lib/*/libevent.a"), None)
    event = {"LIBEVENT_CFLAGS": includes, "LIBEVENT_LIBS": str(archive)} if archive else {}
    return {"CPPFLAGS": includes, "LDFLAGS": libraries, **event}


def succeeds(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> bool:
    """Whether *command* ended well; what it said stays in the scratch folder."""
    with (folder / "dbhost-build.log").open("a") as log:
        ended = subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=False)
    return ended.returncode == 0


def output(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
