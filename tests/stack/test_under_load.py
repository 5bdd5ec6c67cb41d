"""Rotate, suspend, resume and delete while clients work and come back at once (rows 24 to 28 of the faults)."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import pytest

from tests.stack.conftest import create

pytestmark = pytest.mark.stack
CLIENTS = 4
SETTLE_S = 1.0  # what is shut is shut within this time of the answer


@dataclass
class Client:
    """Connects, counts in its table until it is cut, and connects again; when each of its steps went well."""

    url: str
    entered: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)

    def run(self, is_over: threading.Event) -> None:
        while not is_over.is_set():
            try:
                with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
                    self.entered.append(time.monotonic())
                    while not is_over.is_set():
                        connection.execute("INSERT INTO ticks DEFAULT VALUES")
                        self.worked.append(time.monotonic())
            except psycopg.OperationalError:
                continue


@contextmanager
def load(url: str, count: int = CLIENTS) -> Iterator[list[Client]]:
    """*count* clients at work for as long as the block lasts."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS ticks (at timestamptz DEFAULT now())")
    clients, is_over = [Client(url) for _ in range(count)], threading.Event()
    threads = [threading.Thread(target=client.run, args=(is_over,)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        wait_for_work(clients)
        yield clients
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def wait_for_work(clients: list[Client], since: float = 0.0) -> None:
    """Every client has worked after *since*."""
    deadline = time.monotonic() + 60
    while not all(client.worked and client.worked[-1] > since for client in clients):
        assert time.monotonic() < deadline, "a client does not get in"
        time.sleep(0.05)


def assert_shut(clients: list[Client], since: float) -> None:
    """From a moment after *since* on, nobody gets in or works, though everybody tries."""
    time.sleep(SETTLE_S + 1)
    last = max(at for client in clients for at in [*client.entered, *client.worked])
    assert last < since + SETTLE_S, f"a client got in {last - since:.2f} s later"


def change(client: httpx.Client, method: str, path: str, status: int) -> httpx.Response:
    answer = client.request(method, path)
    assert answer.status_code == status, answer.text
    return answer


def test_suspend_and_resume(alice: httpx.Client, database: dict[str, Any]) -> None:
    neighbour = create(alice)
    path = f"/databases/{database['id']}"
    with load(neighbour["connectionString"], 1) as [beside], load(database["connectionString"]) as clients:
        change(alice, "POST", f"{path}/stop", 200)
        assert_shut(clients, time.monotonic())

        change(alice, "POST", f"{path}/start", 200)
        wait_for_work(clients, time.monotonic())

        assert len(beside.entered) == 1  # it was never cut
    with psycopg.connect(database["connectionString"]) as connection:
        [count] = connection.execute("SELECT count(*) FROM ticks").fetchone() or [0]
    assert count >= sum(len(client.worked) for client in clients)  # what was confirmed is there
    assert alice.delete(f"/databases/{neighbour['id']}?skipFinalBackup=true").status_code == 204


def test_rotate(alice: httpx.Client, database: dict[str, Any]) -> None:
    with load(database["connectionString"]) as clients:
        password = change(alice, "POST", f"/databases/{database['id']}/reset-password", 200).json()["password"]
        assert_shut(clients, time.monotonic())
    fresh = database["connectionString"].replace(database["password"], password)
    with psycopg.connect(fresh) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_delete(alice: httpx.Client) -> None:
    database = create(alice)
    with load(database["connectionString"]) as clients:
        change(alice, "DELETE", f"/databases/{database['id']}?skipFinalBackup=true", 204)
        assert_shut(clients, time.monotonic())
    again = create(alice, database["name"])
    assert alice.delete(f"/databases/{again['id']}?skipFinalBackup=true").status_code == 204


def test_create_and_delete_at_once(alice: httpx.Client) -> None:
    """The delete is refused until the create has ended; then nothing is there, and the name is free."""
    name = "at-once"
    asked = alice.post("/databases", json={"name": name, "displayName": name}, headers={"Prefer": "respond-async"})
    path = f"/databases/{asked.json()['databaseId']}"
    deadline = time.monotonic() + 60
    while (answer := alice.delete(f"{path}?skipFinalBackup=true")).status_code == 409:
        assert answer.json()["code"] == "OPERATION_IN_PROGRESS"
        assert time.monotonic() < deadline
    assert answer.status_code == 204
    assert alice.get(path).status_code == 404
    again = create(alice, name)
    assert alice.delete(f"/databases/{again['id']}?skipFinalBackup=true").status_code == 204
