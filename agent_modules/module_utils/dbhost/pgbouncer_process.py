# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""PgBouncer's processes: a throw-away one that proves files, and the real one, which reloads and is then watched."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import files, scram
from .errors import TenantError
from .listeners import Listener
from .pgbouncer_files import HBA, USERLIST
from .store import CUTTING, OPEN, Entry

_PORT = 6432  # only part of a socket's name here
_WAIT_S = 8.0
_PROOF = "Prove the files"
_COMPLAINT = re.compile(r"\b(ERROR|FATAL|WARNING)\b")
_INI = """[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = hba
auth_hba_file = {folder}/{hba}
auth_file = {folder}/{userlist}
"""


@dataclass(frozen=True)
class PgBouncer:
    """The host's PgBouncer: its program, the folder of its files, and the processes that read them."""

    executable: str
    config_dir: Path
    listeners: tuple[Listener, ...]


def prove(executable: str, contents: Mapping[str, str], parent: Path) -> None:
    """Start a PgBouncer of its own on *contents* and expect no complaint. One is enough for the files of all listeners.

    A broken file at a real reload would say nothing, and block the other files with it.
    """
    with tempfile.TemporaryDirectory(prefix="dbhost-") as name:
        folder = Path(name)
        ini = _INI.format(port=_PORT, folder=folder, hba=HBA, userlist=USERLIST)
        ini += "".join(f"%include {folder}/{file}\n" for file in contents if file not in (HBA, USERLIST))
        for file, text in {**contents, "pgbouncer.ini": ini}.items():
            (folder / file).write_text(text, encoding="utf-8")
        owner = parent.stat()
        for path in (folder, *folder.iterdir()):
            files.give_to_owner_of(parent, path)
        drop = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        _run_until_listening(executable, folder, drop)


def _run_until_listening(executable: str, folder: Path, drop: Mapping[str, object]) -> None:
    log = folder / "log"
    command = [executable, str(folder / "pgbouncer.ini")]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **drop)  # type: ignore[call-overload]
    try:
        deadline = time.monotonic() + _WAIT_S
        while process.poll() is None and not (folder / f".s.PGSQL.{_PORT}").exists() and time.monotonic() < deadline:
            time.sleep(0.003)
        listening = process.poll() is None and (folder / f".s.PGSQL.{_PORT}").exists()
    finally:
        process.kill()
        process.wait()
    if _COMPLAINT.search(log.read_text(encoding="utf-8", errors="replace")):
        raise TenantError("candidate_refused", "PgBouncer does not take the new files; the old ones stay.", step=_PROOF)
    if not listening:
        raise TenantError("candidate_unproven", "PgBouncer did not start on the new files in time.", True, _PROOF)


def reload(pgbouncer: PgBouncer) -> None:
    """Ask every process to read its files. They answer nothing: look at what they then do.

    One that is down keeps none of the others from reading. Raises TenantError for it in the end.
    """
    with ThreadPoolExecutor(len(pgbouncer.listeners)) as pool:
        problems = [problem for problem in pool.map(_reload, pgbouncer.listeners) if problem]
    if problems:
        raise _down(problems[0])


def _reload(listener: Listener) -> str | None:
    """What went wrong, if anything."""
    if listener.reload_command:
        done = subprocess.run(listener.reload_command, capture_output=True, check=False, timeout=60)
        return f'The command that reloads PgBouncer "{listener.name}" failed.' if done.returncode else None
    try:
        pid = int((listener.pidfile or Path()).read_text(encoding="ascii"))
        # A stale pidfile may name a process that would die of the signal.
        if "pgbouncer" in Path(f"/proc/{pid}/comm").read_text(encoding="utf-8"):
            os.kill(pid, signal.SIGHUP)
            return None
    except (OSError, ValueError):
        pass
    return f'PgBouncer "{listener.name}" is not running.'


def serves(pgbouncer: PgBouncer, entries: Mapping[str, Entry]) -> dict[str, bool]:
    """For each entry whether PgBouncer does now as it says: offers its verifier's salt, or refuses the login.

    True only if every process that serves the database does.
    """
    unserved = {name for _, name in _unserved(entries, _everywhere(pgbouncer, entries))}
    return {name: name not in unserved for name in entries}


def wait_until_served(pgbouncer: PgBouncer, entries: Mapping[str, Entry]) -> set[str]:
    """Watch PgBouncer until it serves every entry; the names of those that it does not serve in the end."""
    deadline = time.monotonic() + _WAIT_S
    missing = _everywhere(pgbouncer, entries)
    while missing:
        missing = _unserved(entries, missing)
        if missing and time.monotonic() > deadline:
            break
        time.sleep(0.005 if missing else 0)
    return {name for _, name in missing}


def _everywhere(pgbouncer: PgBouncer, entries: Mapping[str, Entry]) -> list[tuple[Listener, str]]:
    return [(listener, name) for name in entries for listener in pgbouncer.listeners if listener.knows(name)]


def _unserved(entries: Mapping[str, Entry], asked: Iterable[tuple[Listener, str]]) -> list[tuple[Listener, str]]:
    """Those of *asked* where the process does not do as the entry says."""
    pairs = list(asked)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda pair: _serves(pair[0].login, pair[1], entries[pair[1]]), pairs))
    return [pair for pair, as_wanted in zip(pairs, found, strict=True) if not as_wanted]


def _serves(login: scram.Endpoint, name: str, entry: Entry) -> bool:
    """Who is out is asked for too while the database is open: nothing else shows that the new lines were read."""
    members = entry.members if entry.door == OPEN else ()
    secret = {OPEN: entry.verifier, CUTTING: entry.tombstone}.get(entry.door)
    return _offers(login, name, name, secret) and all(
        _offers(login, name, member.role, member.verifier) for member in members
    )


def _offers(login: scram.Endpoint, database: str, role: str, verifier: str | None) -> bool:
    """Whether PgBouncer offers the verifier's salt; without one, whether it refuses the login."""
    try:
        salt = scram.probe(login, role, database)
    except scram.Refused as refusal:
        return verifier is None and not refusal.sqlstate.startswith("53")
    except OSError:
        return False
    return verifier is not None and salt == scram.parse(verifier)


def _down(message: str) -> TenantError:
    return TenantError("pgbouncer_unavailable", message, retryable=True, step="Reload PgBouncer")
