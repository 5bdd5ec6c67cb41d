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
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import files, scram
from .errors import TenantError
from .pgbouncer_files import DATABASES, HBA, USERLIST
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
%include {folder}/{databases}
"""


@dataclass(frozen=True)
class PgBouncer:
    """The host's PgBouncer: its program, its folder, how to make it reload and where to log in to it."""

    executable: str
    config_dir: Path
    login: scram.Endpoint
    pidfile: Path | None
    reload_command: tuple[str, ...] = ()


def prove(executable: str, contents: Mapping[str, str], parent: Path) -> None:
    """Start a PgBouncer of its own on *contents* and expect no complaint.

    A broken file at a real reload would say nothing, and block the other files with it.
    """
    with tempfile.TemporaryDirectory(prefix="dbhost-") as name:
        folder = Path(name)
        ini = _INI.format(port=_PORT, folder=folder, hba=HBA, userlist=USERLIST, databases=DATABASES)
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
    """Ask PgBouncer to read its files. It answers nothing: look at what it then does."""
    if pgbouncer.reload_command:
        done = subprocess.run(pgbouncer.reload_command, capture_output=True, check=False, timeout=60)
        if done.returncode:
            raise _down("The command that reloads PgBouncer failed.")
        return
    try:
        pid = int((pgbouncer.pidfile or Path()).read_text(encoding="ascii"))
        # A stale pidfile may name a process that would die of the signal.
        if "pgbouncer" not in Path(f"/proc/{pid}/comm").read_text(encoding="utf-8"):
            raise _down("PgBouncer is not running.")
        os.kill(pid, signal.SIGHUP)
    except (OSError, ValueError):
        raise _down("PgBouncer is not running.") from None


def serves(pgbouncer: PgBouncer, entries: Mapping[str, Entry]) -> dict[str, bool]:
    """For each entry whether PgBouncer does now as it says: offers its verifier's salt, or refuses the login."""
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda item: _serves(pgbouncer.login, *item), entries.items())
        return dict(zip(entries, found, strict=True))


def wait_until_served(pgbouncer: PgBouncer, entries: Mapping[str, Entry]) -> set[str]:
    """Watch PgBouncer until it serves every entry; the names of those that it does not serve in the end."""
    deadline = time.monotonic() + _WAIT_S
    missing = dict(entries)
    while missing:
        answers = serves(pgbouncer, missing)
        missing = {name: entry for name, entry in missing.items() if not answers[name]}
        if missing and time.monotonic() > deadline:
            break
        time.sleep(0.005 if missing else 0)
    return set(missing)


def _serves(login: scram.Endpoint, name: str, entry: Entry) -> bool:
    members = [member for member in entry.members if member.verifier] if entry.door == OPEN else []
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
