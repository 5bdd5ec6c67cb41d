"""A hundred creates at once, and a worker killed in the middle: none lost, none doubled, a handful of runs."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.stack.conftest import AT_ONCE, create_all
from tests.support.stack import Stack, psql

pytestmark = pytest.mark.stack


def delete_all(crowd: list[httpx.Client], how: str = "") -> None:
    def delete(pair: tuple[httpx.Client, str]) -> None:
        answer = pair[0].delete(f"/databases/{pair[1]}?{how}")
        if answer.status_code == 202:  # a busy machine may outlast the API's patience, not the deletion
            answer = ended(pair[0], answer.headers["Location"])
        assert answer.status_code == 204 or answer.json()["state"] == "succeeded", answer.text

    pairs = [(client, row["id"]) for client in crowd for row in client.get("/databases?limit=100").json()["data"]]
    with ThreadPoolExecutor(100) as pool:
        list(pool.map(delete, pairs))


def ended(client: httpx.Client, location: str) -> httpx.Response:
    """The operation at *location*, once it has ended."""
    deadline = time.monotonic() + 120
    while True:
        answer = client.get(location.removeprefix("/api/v1"))
        if answer.json()["state"] not in ("queued", "running") or time.monotonic() > deadline:
            return answer
        time.sleep(0.5)


def runs(stack: Stack) -> int:
    with stack.control() as connection:
        return int(connection.execute("select count(*) from runs").fetchone()[0])  # type: ignore[index]


def on_host(stack: Stack, prefix: str) -> int:
    with stack.provisioner() as connection:
        query = "select count(*) from pg_database where starts_with(datname, %s)"
        return int(connection.execute(query, (prefix,)).fetchone()[0])  # type: ignore[index]


def test_a_hundred_at_once_share_a_handful_of_runs(stack: Stack, crowd: list[httpx.Client]) -> None:
    before = runs(stack)

    answers = create_all(crowd, "crowd")

    strings = [string for number, answer in enumerate(answers) if (string := made(crowd[number % 5], answer))]
    assert runs(stack) - before <= 8
    assert strings
    for string in strings[::25]:
        assert psql(string, "select 1").stdout.strip() == "1"
    before = runs(stack)
    delete_all(crowd)
    assert runs(stack) - before <= 8
    assert on_host(stack, "crowd-") == 0
    wait_for_final_backups(stack)


def made(client: httpx.Client, answer: httpx.Response) -> str:
    """The connection string of a creation that has succeeded; without one if the API's patience ended before it."""
    if answer.status_code == 201:
        return str(answer.json()["connectionString"])
    assert answer.status_code == 202, answer.text
    assert ended(client, answer.headers["Location"]).json()["state"] == "succeeded", answer.text
    return ""


def wait_for_final_backups(stack: Stack) -> None:
    """Until they are made and dropped, deleted databases count towards their owner's plan."""
    deadline = time.monotonic() + 240
    with stack.control() as connection:
        connection.autocommit = True
        while connection.execute("select count(*) from databases where held_as is not null").fetchone() != (0,):
            assert time.monotonic() < deadline, "there are still final backups to make"
            time.sleep(0.5)


def wait_for_all(crowd: list[httpx.Client], seconds: float) -> list[dict[str, Any]]:
    deadline = time.monotonic() + seconds
    while True:
        rows = [row for client in crowd for row in client.get("/databases?limit=100").json()["data"]]
        if all(row["status"] == "active" for row in rows) or time.monotonic() > deadline:
            return rows
        time.sleep(0.5)


def test_a_worker_killed_in_the_middle_loses_none_and_doubles_none(stack: Stack, crowd: list[httpx.Client]) -> None:
    answers = create_all(crowd, "killed", Prefer="respond-async")
    assert {answer.status_code for answer in answers} == {202}
    for _ in range(2):
        os.kill(stack.pid("worker"), signal.SIGKILL)
        time.sleep(2.5)

    rows = wait_for_all(crowd, 90)

    assert sorted(row["name"] for row in rows) == [f"killed-{number:03}" for number in range(100)]
    assert {row["status"] for row in rows} == {"active"}
    assert on_host(stack, "killed-") == 100
    with stack.control() as connection:
        query = (
            "select o.state, count(*) from operations o join databases d on d.id = o.database_id"
            " where starts_with(d.name, 'killed-') group by 1"
        )
        assert connection.execute(query).fetchall() == [("succeeded", 100)]
    delete_all(crowd, AT_ONCE)
