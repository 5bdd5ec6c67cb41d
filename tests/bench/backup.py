"""Dump and restore of a pgbench database through the whole product, against the bare programs on the same data.

Both sides run as the same OS user over the same socket. Ours also counts every row, checks sums, compares what was
restored with what was dumped, and shows its progress.
"""

import os
import secrets
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.bench.create import user
from tests.support.stack import Stack, run, tool

# pgbench makes about 15 MB for each; 70 is a gigabyte.
SCALE = 70
ASYNC = {"Prefer": "respond-async"}
WAIT_S = 3600
# What is loaded into another tenant must not name the first one.
PLAIN = "--no-owner --no-privileges"


def backups(stack: Stack, scale: int = SCALE) -> dict[str, float]:
    """Seconds of each way, MB/s of the database's size, and ours by the bare one's."""
    client = user(stack)
    source, target = create(client), create(client)
    size_mb = fill(source, scale)
    bare = Bare(stack)
    dumped = bare.dump(source["name"])
    backup_s = operation_s(client, client.post(f"/databases/{source['id']}/backups"))
    loaded = bare.load(target["name"])
    custom_s = bare.dump_custom(source["name"])
    client.delete(f"/databases/{target['id']}?skipFinalBackup=true").raise_for_status()
    again = create(client)
    restored_s = bare.restore_custom(again["name"])
    client.delete(f"/databases/{again['id']}?skipFinalBackup=true").raise_for_status()
    (made,) = client.get(f"/databases/{source['id']}/backups").json()
    body = {"name": name(), "displayName": "clone", "filename": made["filename"]}
    clone_s = operation_s(client, client.post(f"/databases/{source['id']}/clone", json=body, headers=ASYNC))
    return {
        "size_mb": size_mb,
        "file_mb": made["sizeBytes"] / 1e6,
        "bare_dump_s": dumped,
        "backup_s": backup_s,
        "backup_mb_per_s": size_mb / backup_s,
        "backup_to_bare": backup_s / dumped,
        "bare_load_s": loaded,
        "bare_custom_dump_s": custom_s,
        "bare_pg_restore_s": restored_s,
        "restore_s": clone_s,
        "restore_mb_per_s": size_mb / clone_s,
        "restore_to_bare_psql": clone_s / loaded,
        "restore_to_pg_restore": clone_s / restored_s,
    }


class Bare:
    """pg_dump, gzip, psql and pg_restore, as the OS user of dumps logged in as the tenant."""

    def __init__(self, stack: Stack) -> None:
        self._folder = stack.home / "bench"
        self._folder.mkdir(mode=0o777, exist_ok=True)
        self._folder.chmod(0o777)
        where = {"PGHOST": str(stack.socket_dir), "PGPORT": str(stack.ports[2])}
        self._settings = where | {"PGOPTIONS": "-c synchronous_commit=off"}
        self._user: dict[str, Any] = {"user": "dbhost-dump", "group": "dbhost-dump"} if os.geteuid() == 0 else {}

    def dump(self, database: str) -> float:
        return self._timed("pg_dump", database, f"{self._path('pg_dump')} {PLAIN} | gzip > {self._file('sql.gz')}")

    def load(self, database: str) -> float:
        program = f"{self._path('psql')} -X -q -v ON_ERROR_STOP=1"
        return self._timed("psql", database, f"gzip -dc {self._file('sql.gz')} | {program} > /dev/null")

    def dump_custom(self, database: str) -> float:
        return self._timed("pg_dump", database, f"{self._path('pg_dump')} -Fc -f {self._file('dump')}")

    def restore_custom(self, database: str) -> float:
        return self._timed(
            "pg_restore", database, f"{self._path('pg_restore')} {PLAIN} -d {database} {self._file('dump')}"
        )

    def _timed(self, program: str, database: str, line: str) -> float:
        settings = tool(program)[1] | self._settings | {"PGUSER": database, "PGDATABASE": database}
        line = f"set -o pipefail; {line}"
        started = time.perf_counter()
        subprocess.run(["bash", "-c", line], env=settings, check=True, cwd="/", **self._user)
        return time.perf_counter() - started

    def _file(self, ending: str) -> Path:
        return self._folder / f"bare.{ending}"

    @staticmethod
    def _path(program: str) -> str:
        return tool(program)[0]


def create(client: httpx.Client) -> dict[str, Any]:
    chosen = name()
    answer = client.post("/databases", json={"name": chosen, "displayName": chosen})
    answer.raise_for_status()
    made: dict[str, Any] = answer.json()
    return made


def name() -> str:
    return f"bench-{secrets.token_hex(4)}"


def fill(database: dict[str, Any], scale: int) -> float:
    """pgbench's tables; the database's size in MB."""
    program, env = tool("pgbench")
    url = database["connectionString"]
    run([program, "-i", "-q", "-s", str(scale), url], env)
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    return float(row[0]) / 1e6 if row else 0.0


def operation_s(client: httpx.Client, answer: httpx.Response) -> float:
    """Seconds from asking to the end of the operation that *answer* is about."""
    answer.raise_for_status()
    where = answer.headers["Location"].removeprefix("/api/v1")
    found = until_ended(lambda: client.get(where).json())
    if found["state"] != "succeeded":
        raise RuntimeError(f"{found['kind']}: {found['error']}")
    at = [datetime.fromisoformat(found[moment]) for moment in ("createdAt", "endedAt")]
    return (at[1] - at[0]).total_seconds()


def until_ended(look: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_S
    while (found := look())["state"] in ("queued", "running"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found['kind']} has not ended in {WAIT_S} s.")
        time.sleep(0.5)
    return found
