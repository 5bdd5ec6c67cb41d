"""Data of many kinds goes all the way by the API: backup, download, delete, undelete, restore, import elsewhere."""

import hashlib
import time
from collections.abc import Callable
from typing import Any

import httpx
import psycopg
import pytest

from tests.stack.conftest import create
from tests.support import rich
from tests.support.stack import run, tool

pytestmark = pytest.mark.stack
ROWS = 300
ASYNC = {"Prefer": "respond-async"}


def ended(client: httpx.Client, answer: httpx.Response) -> dict[str, Any]:
    """The operation that *answer* is about, once it has succeeded."""
    assert answer.status_code == 202, answer.text
    where = answer.headers["Location"].removeprefix("/api/v1")

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = client.get(where).json()
        return None if found["state"] in ("queued", "running") else found

    operation = until(look)
    assert operation["state"] == "succeeded", operation
    return operation


def until[T](look: Callable[[], T | None], timeout_s: float = 240) -> T:
    """What *look* finds, as soon as it finds something."""
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None:
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.3)
    return found


def fill(url: str) -> dict[str, str]:
    """A schema of many kinds beside pgbench's tables, and the checksum of all of it."""
    program, env = tool("pgbench")
    run([program, "-i", "-s", "1", "-q", url], env, timeout=120)
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        rich.fill(connection, ROWS)
    return checksum(url)


def checksum(url: str) -> dict[str, str]:
    with psycopg.connect(url, autocommit=True, prepare_threshold=None) as connection:
        rows = connection.execute("SELECT count(*) FROM pgbench_accounts").fetchone()
        return rich.checksum(connection) | {"pgbench rows": str(rows)}


def deleted(client: httpx.Client, database_id: str) -> dict[str, Any]:
    """Its line in the list of deleted databases."""
    listed = client.get("/databases/deleted").json()["data"]
    return next(row for row in listed if row["id"] == database_id)


def test_every_kind_of_data_comes_back_the_same(alice: httpx.Client) -> None:
    shop = create(alice)
    path, url = f"/databases/{shop['id']}", shop["connectionString"]
    before = fill(url)

    ended(alice, alice.post(f"{path}/backups"))
    (backup,) = alice.get(f"{path}/backups").json()
    file = alice.get(f"{path}/backups/{backup['filename']}", timeout=120)
    assert file.status_code == 200
    assert (len(file.content), hashlib.sha256(file.content).hexdigest()) == (backup["sizeBytes"], backup["sha256"])

    assert alice.delete(path).status_code == 204
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    until(lambda: deleted(alice, shop["id"])["finalBackup"] == "made" or None)
    ended(alice, alice.post(f"{path}/undelete", json={}, headers=ASYNC))
    assert checksum(url) == before

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE kinds CASCADE; DELETE FROM pgbench_accounts WHERE aid > 10")
    ended(alice, alice.post(f"{path}/backups/{backup['filename']}", headers=ASYNC))
    assert checksum(url) == before
    kinds = [row["kind"] for row in alice.get(f"{path}/backups").json()]
    assert kinds == ["safety", "final", "manual"]

    other = create(alice)
    upload = {"file": ("from-elsewhere.sql.gz", file.content)}
    where = f"/databases/{other['id']}"
    ended(alice, alice.post(f"{where}/backups/restore", files=upload, headers=ASYNC))
    assert checksum(other["connectionString"]) == before
    for each in (path, where):
        assert alice.delete(f"{each}?skipFinalBackup=true").status_code == 204


def test_what_is_kept_aside_comes_back_at_once_under_another_name(alice: httpx.Client) -> None:
    shop = create(alice)
    path = f"/databases/{shop['id']}"
    with psycopg.connect(shop["connectionString"], autocommit=True) as connection:
        connection.execute("CREATE TABLE goods AS SELECT generate_series(1, 10) AS id")
        connection.execute("REVOKE ALL ON goods FROM CURRENT_USER")
    assert alice.delete(path).status_code == 204
    taken = create(alice, shop["name"])
    line = until(lambda: (row := deleted(alice, shop["id"]))["problem"] and row)
    assert (line["finalBackup"], line["nameTaken"]) == ("failed", True)
    assert "goods" in line["problem"]

    assert alice.post(f"{path}/undelete", json={}).status_code == 409
    name = f"{shop['name']}-2"
    ended(alice, alice.post(f"{path}/undelete", json={"name": name}, headers=ASYNC))
    url = shop["connectionString"].replace(shop["name"], name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("GRANT SELECT ON goods TO CURRENT_USER")
        assert connection.execute("SELECT count(*) FROM goods").fetchone() == (10,)
    for each in (path, f"/databases/{taken['id']}"):
        assert alice.delete(f"{each}?skipFinalBackup=true").status_code == 204
