# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take a backup of one tenant database: pg_dump as the tenant, compressed on the way, counted in the same snapshot."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from . import (
    access_rights,
    activity,
    computed_views,
    dump_codec,
    dump_files,
    dump_script,
    kept_settings,
    manifests,
    names,
    ownership,
    postgres,
    reading,
    search_paths,
)
from .dump_errors import Complaints, explain
from .dump_sinks import FileSink, PartsSink
from .dump_user import DumpUser
from .errors import TenantError, of_files
from .jobs import Progress
from .tenant_session import TenantSession

FOOTER = b"\n-- PostgreSQL database dump complete\n"
_ATTEMPTS = 3
_TAIL = 4096  # newer versions of pg_dump write a line after the footer
_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_export_snapshot()"
_STEP = "Dump the database"
# Roles are the host's own, and have other names in a clone: rights are written apart (access_rights.py).
_OPTIONS = ("--format=plain", "--no-owner", "--no-privileges", "--no-tablespaces", "--no-security-labels")
_END = b"\n--" + FOOTER + b"--\n\n"


@dataclass(frozen=True)
class Backup:
    """What to dump and where to."""

    name: str
    folder: str
    filename: str
    part_size: int = 0
    part_urls: list[str] = field(default_factory=list, repr=False)
    upload: bool = False
    age_recipients: list[str] = field(default_factory=list)


def parse(item: Mapping[str, Any]) -> Backup:
    """The checked form of `tenant_backup`. Raises TenantError, which never quotes it."""
    names.require(item["name"], allow_held=True)
    dump_files.require_place(item["folder"], item["filename"])
    upload = item.get("upload") or {}
    if item["store"] == "upload" and not (upload.get("part_size", 0) > 0 and upload.get("part_urls")):
        raise TenantError("invalid_item", "An upload needs a part size and an address for each part.")
    return Backup(
        name=item["name"],
        folder=item["folder"],
        filename=item["filename"],
        upload=item["store"] == "upload",
        part_size=upload.get("part_size") or 0,
        part_urls=list(upload.get("part_urls") or []),
        age_recipients=list(item.get("age_recipients") or []),
    )


def run(state_dir: Path, user: DumpUser, wanted: Backup, progress: Progress) -> dict[str, Any]:
    """Take the backup, or say that it is there already. Raises TenantError; then nothing of it is left."""
    folder = dump_files.store(state_dir, "backups", wanted.folder)
    with dump_files.alone(folder):
        dump_files.remove_partials(folder)
        if not wanted.upload and (found := dump_files.described(folder, wanted.filename)):
            return found
        _give_back(user, wanted.name)
        for attempt in range(_ATTEMPTS):
            try:
                about = _dump_to(_sink(folder, wanted), folder, user, wanted, progress)
                break
            except TenantError:
                # A member who works without the tenant's role can make what the tenant cannot read while we dump.
                if not _give_back(user, wanted.name) or attempt == _ATTEMPTS - 1:
                    raise
        return {**about, "changes": [f"Back up to {wanted.filename}"]}


def _give_back(user: DumpUser, name: str) -> bool:
    """Whether something in the database belonged to another role; a dump as the tenant would fail on it.

    A database that cannot be entered is told by the dump.
    """
    try:
        with postgres.connect(user.cluster, name) as inside:
            return bool(ownership.repair(inside, name, check=False).changes)
    except (TenantError, psycopg.Error):
        return False


def _dump_to(
    sink: FileSink | PartsSink, folder: Path, user: DumpUser, wanted: Backup, progress: Progress
) -> dict[str, Any]:
    try:
        about = _dump(user, wanted, sink, progress)
        if not wanted.upload:
            dump_files.describe(folder, wanted.filename, about)
        sink.publish()
        progress.bytes_total = progress.bytes_done
    except OSError as error:
        sink.abort()
        raise of_files(error, _STEP) from None
    except BaseException:
        sink.abort()
        raise
    return about


def _sink(folder: Path, wanted: Backup) -> FileSink | PartsSink:
    if wanted.upload:
        return PartsSink(wanted.part_size, wanted.part_urls)
    try:
        return FileSink(folder / wanted.filename)
    except OSError as error:
        raise of_files(error, "Write the dump") from None


def _dump(user: DumpUser, wanted: Backup, sink: FileSink | PartsSink, progress: Progress) -> dict[str, Any]:
    with reading.session(user, wanted.name) as session:
        progress.bytes_total = int(session.ask("SELECT pg_database_size(current_database())", "Read the size"))
        version = session.ask("SHOW server_version", "Read the version")
        counters = activity.fingerprint(session)  # before the snapshot: what they have counted is in it
        snapshot = session.ask(_SNAPSHOT, "Take a snapshot")
        besides = _read_besides(session, wanted.name)
        counting = _Counting(session, wanted.name)
        try:
            _write(_PgDump(user, session.role, wanted.name, snapshot), besides, wanted, sink, progress)
        except TenantError as error:
            counting.join(1.0)
            raise counting.error or error from None
        while not counting.join(1.0):
            progress.check()
        manifest = counting.result() | {"activity": counters}
    return {
        "name": wanted.name,
        "filename": wanted.filename,
        **sink.finish(),
        "encrypted": bool(wanted.age_recipients),
        "manifest": manifest,
        "server_version": version,
        "error": None,
    }


@dataclass(frozen=True)
class _Besides:
    """What is in the script besides what pg_dump writes."""

    paths: search_paths.Paths
    views: computed_views.Views
    end: list[bytes]


def _read_besides(session: TenantSession, tenant: str) -> _Besides:
    settings = kept_settings.read(session, tenant)
    paths, views = search_paths.read(session, kept_settings.search_path(settings)), computed_views.read(session)
    reset = list(paths.reset()) if paths.needed else []
    rights = access_rights.section(access_rights.read(session, tenant), tenant)
    return _Besides(paths, views, [*views.section(), *reset, *rights, *kept_settings.section(settings)])


@dataclass(frozen=True)
class _PgDump:
    """How pg_dump is run: as whom, in which database, of which snapshot."""

    user: DumpUser
    role: str
    database: str
    snapshot: str

    def run(self, options: Iterable[str], take: dump_script.Take, progress: Progress) -> None:
        """Give what it writes to *take*. Raises TenantError unless it ended well and wrote to the end."""
        tail = b""

        def look(chunk: bytes) -> None:
            nonlocal tail
            tail = (tail + chunk)[-_TAIL:]
            take(chunk)

        given = [f"--lock-wait-timeout={self.user.lock_wait_s}s", f"--snapshot={self.snapshot}", *options]
        _run_pg_dump(self.user, self.role, self.database, [*_OPTIONS, *given], look, progress)
        if FOOTER not in tail:
            raise TenantError("incomplete_dump", "The dump has no end; it is not kept.", True, _STEP)


def _write(pg_dump: _PgDump, besides: _Besides, wanted: Backup, sink: FileSink | PartsSink, progress: Progress) -> None:
    gzip = dump_codec.compressor()
    encryption = dump_codec.Encryption(wanted.age_recipients, sink.write) if wanted.age_recipients else None
    write: Callable[[bytes], Any] = encryption.write if encryption else sink.write

    def take(chunk: bytes) -> None:
        if packed := gzip.compress(chunk):
            write(packed)
        progress.add(len(chunk))

    try:
        _script(pg_dump, besides, take, progress)
        write(gzip.flush())
    finally:
        if encryption:
            encryption.close()


def _script(pg_dump: _PgDump, besides: _Besides, take: dump_script.Take, progress: Progress) -> None:
    """The whole script; where functions need a search_path meanwhile, in two runs of pg_dump."""
    options = besides.views.options()
    if besides.paths.needed:
        first = dump_script.Run(take, first=True, last=False)
        pg_dump.run(["--section=pre-data", *options], first.take, progress)
        first.finish()
        for part in besides.paths.set():
            take(part)
        options += ["--section=data", "--section=post-data"]
        options += [f"--restrict-key={first.key}"] if first.key else []
    last = dump_script.Run(take, first=not besides.paths.needed, last=True)
    pg_dump.run(options, last.take, progress)
    last.finish()
    for part in [*besides.end, _END] if besides.end else []:
        take(part)


def _run_pg_dump(
    user: DumpUser, role: str, database: str, options: list[str], take: dump_script.Take, progress: Progress
) -> None:
    read_out, write_out = os.pipe()
    read_error, write_error = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    streams = {"stdin": nothing, "stdout": write_out, "stderr": write_error}
    try:
        running = user.start("pg_dump", options, role, database, **streams)
    finally:
        for end in streams.values():
            os.close(end)
    complaints = Complaints(read_error)
    try:
        while chunk := _next(read_out, progress):
            take(chunk)
        if running.wait() != 0:
            raise explain(complaints.text(), "dump_failed", _STEP)
    finally:
        os.close(read_out)
        running.kill()


def _next(source: int, progress: Progress) -> bytes:
    """The next chunk; a dump that waits for a lock sends none for a while."""
    while not select.select([source], [], [], 1.0)[0]:
        progress.check()
    return os.read(source, dump_files.CHUNK)


class _Counting:
    """The manifest, counted beside the dump in the session whose snapshot both see.

    When counting fails the snapshot goes with it, and the dump fails for that alone: *error* is then the reason.
    """

    def __init__(self, session: TenantSession, tenant: str) -> None:
        self._session, self._tenant = session, tenant
        self._found: manifests.Manifest | None = None
        self.error: TenantError | None = None
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Whether it has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def result(self) -> manifests.Manifest:
        """What was counted; raises what counting raised."""
        if self.error or self._found is None:
            raise self.error or TenantError("not_readable", "The rows could not be counted.", True, "Count the rows")
        return self._found

    def _count(self) -> None:
        try:
            self._found = manifests.count(self._session, self._tenant)
        except TenantError as error:
            self.error = error
