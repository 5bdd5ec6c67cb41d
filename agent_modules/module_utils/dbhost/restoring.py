# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restore one tenant database: into a new one beside it, loaded as the tenant, measured, then swapped by name.

Until the swap the live database is not touched. Whatever fails before it leaves nothing but the live one.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from . import (
    access_rights,
    analyzing,
    dump_files,
    dump_sources,
    dump_target,
    dump_text,
    files,
    grantees,
    kept_settings,
    large_objects,
    loading,
    machine,
    manifests,
    names,
    postgres,
    reading,
    scratch,
    second_try,
    store,
)
from .dump_filter import Filter
from .dump_sources import Source
from .dump_user import DumpUser
from .errors import TenantError
from .jobs import Progress
from .tenants import TenantDatabase

_WATCH_EVERY_S = 2.0
Later = Callable[[Callable[[], object]], object]
_TIME_LIMIT_S = 4 * 3600.0


@dataclass(frozen=True)
class Restore:
    """What to load, and what becomes of the database it is loaded into."""

    name: str
    into: str
    source: Source
    expect: Mapping[str, Any] | None = None
    generation: int | None = None
    connection_limit: int = 40
    keep_replaced: bool = False


@dataclass(frozen=True)
class Host:
    """Where a restore works, and how much it may take there."""

    state_dir: Path
    user: DumpUser
    data_dir: str
    text_limit: int
    database_limit: int
    disk_reserve: int


@dataclass
class _Outcome:
    """What is said in the end, also when it failed half-way."""

    changes: list[str] = field(default_factory=list)
    manifest: manifests.Manifest | None = None
    differences: list[str] | None = None
    skipped: list[dict[str, str | int]] = field(default_factory=list)

    def as_dict(self, wanted: Restore, error: TenantError | None = None) -> dict[str, Any]:
        return {
            "name": wanted.name,
            "into": wanted.into,
            "manifest": self.manifest,
            "matches": None if self.differences is None else not self.differences,
            "differences": self.differences or [],
            "changes": self.changes,
            "skipped": self.skipped,
            "error": error.as_dict() if error else None,
        }


def parse(item: Mapping[str, Any]) -> Restore:
    """The checked form of `tenant_restore`. Raises TenantError, which never quotes it."""
    names.require(item["name"])
    return Restore(
        name=item["name"],
        into=item["into"],
        source=dump_sources.parse(item["source"]),
        expect=item.get("expect"),
        generation=item.get("generation"),
        connection_limit=max(item.get("connection_limit") or 40, 3),
        keep_replaced=bool(item.get("keep_replaced")),
    )


def planned(wanted: Restore) -> list[str]:
    """What a restore would do, for a check."""
    own = scratch.names_of(wanted.name)
    taken_over = _taken_over(wanted, own)
    return [f"Load the dump into {own.new}", *(taken_over if wanted.into != "scratch" else [f"Drop {own.new}"])]


def run(host: Host, wanted: Restore, progress: Progress, later: Later | None = None) -> dict[str, Any]:
    """Restore, and say what came of it. *later* is given what can wait until that is told; without it, it is done."""
    outcome = _Outcome()
    try:
        with dump_files.alone(dump_files.store(host.state_dir, "restores", wanted.name), leave_nothing=True):
            _restore(host, wanted, progress, outcome, later or _at_once)
    except TenantError as error:
        return outcome.as_dict(wanted, error)
    return outcome.as_dict(wanted)


def _at_once(step: Callable[[], object]) -> None:
    """What fails here is seen to by the next restore, and does not unmake this one."""
    with contextlib.suppress(TenantError):
        step()


def _restore(host: Host, wanted: Restore, progress: Progress, outcome: _Outcome, later: Later) -> None:
    cluster, own = host.user.cluster, scratch.names_of(wanted.name)
    require_current(host.state_dir, wanted)
    entry = store.load(host.state_dir).get(wanted.name)
    outcome.changes += scratch.heal(cluster, own, is_public=entry is not None and entry.door == store.OPEN)
    scratch.require_live(cluster, own)
    with dump_sources.file_of(host.state_dir, wanted.source, progress) as path:
        progress.bytes_total = path.stat().st_size
        try:
            outcome.changes += _make_empty(host, wanted, own)
            outcome.changes.append(f"Load the dump into {own.new}")
            _load_once_or_twice(host, wanted, own, path, progress, outcome)
            outcome.changes += scratch.repair(cluster, own).changes
            _measure(host, wanted, own.new, outcome)
            if wanted.into != "scratch":
                outcome.changes += _take_over(host, wanted, own)
        finally:
            scratch.drop(cluster, own.new)
        if wanted.into != "scratch" and not wanted.keep_replaced:
            later(lambda: scratch.drop(cluster, own.old))  # with a checkpoint of the whole cluster
        later(lambda: scratch.sweep(cluster))


def _make_empty(host: Host, wanted: Restore, own: scratch.Names) -> list[str]:
    scratch.create(host.user.cluster, own, wanted.connection_limit)
    return grantees.create(host.user.cluster, own, wanted.expect) if wanted.into == "new" else []


def _load_once_or_twice(
    host: Host, wanted: Restore, own: scratch.Names, path: Path, progress: Progress, outcome: _Outcome
) -> None:
    """Load the file; once more with a search_path if that is what it lacks. The first error is the one to be told."""
    try:
        _load(host, wanted, own.new, path, progress, outcome)
        return
    except TenantError as error:
        if not second_try.may_help(error):
            raise
        first = error
    schemas = second_try.search_path(host.user, wanted.name, own.new)
    scratch.drop(host.user.cluster, own.new)
    _make_empty(host, wanted, own)
    progress.bytes_done = 0
    try:
        _load(host, wanted, own.new, path, progress, outcome, schemas)
    except TenantError as error:
        raise (error if error.retryable else first) from None
    outcome.changes.append("Load it once more with a search_path")


def _load(
    host: Host,
    wanted: Restore,
    database: str,
    path: Path,
    progress: Progress,
    outcome: _Outcome,
    search_path: Sequence[str] = (),
) -> None:
    """Load the file: a backup of ours byte for byte, a dump from elsewhere without what cannot hold here."""
    source = wanted.source
    foreign = _foreign(host, wanted) if source.is_foreign else None
    with path.open("rb") as file, postgres.connect(host.user.cluster) as connection:
        dump = dump_text.opened(file, source.age_identity, source.format, progress)
        chunks = dump.chunks
        if dump.kind == "custom":
            chunks = loading.unpacked(host.user, wanted.name, chunks, progress)
        text = dump_text.bounded(chunks, host.text_limit)
        if foreign is None:
            text = dump_text.unrestricted(dump_text.whole(text))
        if search_path:
            text = second_try.with_path(text, search_path)
        watch = _watch(host, connection, database)
        user = replace(host.user, settings={"dbhost.into": wanted.into})
        with large_objects.allowed(connection, wanted.name):
            loading.load(user, wanted.name, database, text, progress, watch, foreign)
    if foreign:
        outcome.skipped = foreign.skipped
        outcome.changes += [_told(entry) for entry in foreign.skipped]
        if not source.allow_incomplete:
            dump_target.require_objects(host.user.cluster, database)


def _told(entry: Mapping[str, str | int]) -> str:
    return f"Skip {entry['count']} {entry['statement']}, first in line {entry['line']} of the file"


def _foreign(host: Host, wanted: Restore) -> Filter:
    target, source = dump_target.observe(host.user.cluster, wanted.name), wanted.source
    return Filter(
        target,
        database=source.database,
        allow_incomplete=source.allow_incomplete,
        before=loading.FIRST_LINES,
    )


def _watch(host: Host, connection: psycopg.Connection, database: str) -> Callable[[], None]:
    """What is asked while a dump is loaded: it must not fill the host, whatever it says."""
    began_at = looked_at = time.monotonic()

    def look() -> None:
        nonlocal looked_at
        if time.monotonic() - looked_at < _WATCH_EVERY_S:
            return
        looked_at = time.monotonic()
        if looked_at - began_at > _TIME_LIMIT_S:
            message = f"Loading the dump took longer than {_TIME_LIMIT_S // 3600:.0f} hours and was stopped."
            raise TenantError("took_too_long", message, step="Load the dump")
        if machine.disk("data", host.data_dir)["free_bytes"] < host.disk_reserve:
            message = "The host's disk is nearly full; the restore was stopped, and what was there is untouched."
            raise TenantError("host_disk_full", message, retryable=True, step="Load the dump")
        if scratch.size(connection, database) > host.database_limit:
            message = f"The dump makes a database larger than {host.database_limit} bytes."
            raise TenantError("too_large", message, step="Load the dump")

    return look


def _measure(host: Host, wanted: Restore, database: str, outcome: _Outcome) -> None:
    """Count what is there now; raises TenantError if that is not what is to take the live one's place."""
    with reading.session(host.user, wanted.name, database) as session:
        outcome.manifest = manifests.count(session, wanted.name)
    if wanted.expect is not None:
        outcome.differences = manifests.differences(wanted.expect, outcome.manifest)
        if outcome.differences and wanted.into != "scratch":
            message = f"What was restored is not what was backed up. {outcome.differences[0]}"
            raise TenantError("manifest_differs", message, step="Compare with the backup")


def _take_over(host: Host, wanted: Restore, own: scratch.Names) -> list[str]:
    analyzing.analyze(host.user, wanted.name, own.new)
    with files.lock(host.state_dir):
        require_current(host.state_dir, wanted)
        scratch.require_live(host.user.cluster, own)
        if wanted.into == "replace":
            kept_settings.carry_over(host.user.cluster, own.live, own.new)
            if access_rights.is_kept(wanted.expect):
                grantees.carry_over(host.user.cluster, own)
        scratch.swap(host.user.cluster, own, keep=wanted.keep_replaced)
    return _taken_over(wanted, own)


def _taken_over(wanted: Restore, own: scratch.Names) -> list[str]:
    left = f"Keep what was there as {own.kept}" if wanted.keep_replaced else f"Drop {own.old}"
    return [f"Put it in the place of {own.live}", left]


def require_current(state_dir: Path, wanted: Restore) -> None:
    """Raise TenantError if the host has begun with a newer desired state of this database."""
    item = TenantDatabase(wanted.name, generation=wanted.generation)
    store.require_current(store.load(state_dir), item)
