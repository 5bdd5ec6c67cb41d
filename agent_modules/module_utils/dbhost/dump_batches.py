# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Backups of several tenant databases in one job: some side by side, each with a result of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg

from . import dump_files, dumping, postgres
from .dump_user import DumpUser
from .errors import TenantError
from .jobs import Progress

_EXIST = "SELECT d.datname::text FROM pg_catalog.pg_database AS d WHERE d.datname = ANY (%s)"


class Share(Progress):
    """One backup's part in the progress of the whole job."""

    def __init__(self, whole: Progress) -> None:
        self.bytes_done, self.bytes_total = 0, 0
        self._whole = whole

    def add(self, count: int) -> None:
        self.bytes_done += count
        self._whole.add(count)

    def check(self) -> None:
        self._whole.check()


def run(
    state_dir: Path, user: DumpUser, items: Sequence[Mapping[str, Any]], at_once: int, progress: Progress
) -> dict[str, Any]:
    """Back each of *items* up; `backups` has a result for each, whatever came of the others."""
    there = _existing(user, [str(item["name"]) for item in items])
    turns = {str(item["folder"]): threading.Lock() for item in items}  # several of one database follow each other

    def one(item: Mapping[str, Any]) -> dict[str, Any]:
        told = {"name": item["name"], "filename": item["filename"], "error": None}
        if item["name"] not in there:
            return {**told, "error": _missing().as_dict()}
        try:
            with turns[str(item["folder"])]:
                return {**told, **dumping.run(state_dir, user, dumping.parse(item), Share(progress))}
        except TenantError as error:
            return {**told, "error": error.as_dict()}
        except Exception as error:  # noqa: BLE001  # one of them must not end the others; no value may get out
            message = f"The backup ended unexpectedly ({type(error).__name__})."
            return {**told, "error": TenantError("unexpected", message, retryable=True).as_dict()}

    with ThreadPoolExecutor(max(1, at_once)) as pool:
        found = list(pool.map(one, items))
    return {"backups": found, "error": _error(found)}


def present(state_dir: Path, items: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is known of those of *items* that the host has already; an item that is not valid is none of them."""
    found = []
    for item in items:
        with contextlib.suppress(TenantError):
            wanted = dumping.parse(item)
            place = state_dir / "backups" / wanted.folder
            found.append(None if wanted.upload else dump_files.described(place, wanted.filename))
    return [each for each in found if each]


def _missing() -> TenantError:
    return TenantError("no_database", "There is no such database on this host.", step="Find the database")


def _existing(user: DumpUser, names: Sequence[str]) -> set[str]:
    try:
        with postgres.connect(user.cluster) as connection:
            return {str(row[0]) for row in connection.execute(_EXIST, [list(names)]).fetchall()}
    except psycopg.Error as error:
        raise postgres.explain(error, "Find the databases") from None


def _error(found: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What an operator is told: the play has failed if one backup has."""
    failed = [item["name"] for item in found if item["error"]]
    return TenantError("not_all", f"Not backed up: {', '.join(failed)}.").as_dict() if failed else None
