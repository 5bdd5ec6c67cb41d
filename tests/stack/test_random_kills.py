"""kill -9 at random under a mixed load: what was acknowledged is there, and nothing else (invariants I1 to I6)."""

import os
import random
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.support.stack import Stack

pytestmark = pytest.mark.stack
SEED = int(os.environ.get("DBHOST_TEST_SEED", "20261127"))
LOAD_S = 60
PATIENCE_S = 180
HERE, ELSEWHERE = "127.0.0.0/8", "203.0.113.0/24"


@dataclass
class Known:
    """A database as its owner knows it from the answers."""

    id: str
    url: str
    status: str = "active"
    networks: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.status == "active" and ELSEWHERE not in self.networks


@dataclass
class Person:
    """Changes one database after the other, and asks again until the answer says what has become of it."""

    client: httpx.Client
    name: str
    chance: random.Random
    databases: dict[str, Known] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    asked: int = 0

    def work_until(self, is_over: threading.Event) -> None:
        while not is_over.is_set():
            if len(self.databases) < 2 or (len(self.databases) < 5 and self.chance.random() < 0.2):
                self.create()
            else:
                name = self.chance.choice(sorted(self.databases))
                self.chance.choice([self.reset, self.stop, self.start, self.allow, self.delete])(name)

    def create(self) -> None:
        self.asked += 1
        name = f"{self.name}-{self.asked % 7}"  # names come back, also those that were just deleted
        if name in self.databases:
            return
        made = self.ask("POST", "/databases", 201, json={"name": name, "displayName": name}).json()
        self.databases[name] = Known(made["id"], made["connectionString"])

    def reset(self, name: str) -> None:
        known = self.databases[name]
        password = self.ask("POST", f"/databases/{known.id}/reset-password", 200).json()["password"]
        known.dead.append(known.url)
        known.url = re.sub(r"(://[^:]+:)[^@]+@", lambda found: f"{found[1]}{password}@", known.url)

    def stop(self, name: str) -> None:
        known = self.databases[name]
        known.status = self.ask("POST", f"/databases/{known.id}/stop", 200).json()["status"]
        assert known.status == "stopped"

    def start(self, name: str) -> None:
        known = self.databases[name]
        known.status = self.ask("POST", f"/databases/{known.id}/start", 200).json()["status"]
        assert known.status == "active"

    def allow(self, name: str) -> None:
        known = self.databases[name]
        known.networks = self.chance.choice([[], [HERE], [ELSEWHERE]])
        data = [{"cidr": network} for network in known.networks]
        self.ask("PUT", f"/databases/{known.id}/allowlist", 200, json={"data": data})

    def delete(self, name: str) -> None:
        known = self.databases.pop(name)
        skip = str(self.chance.random() < 0.7).lower()
        self.ask("DELETE", f"/databases/{known.id}?skipFinalBackup={skip}", 204, or_else=404)
        self.gone += [known.url, *known.dead]

    def ask(self, method: str, path: str, wanted: int, *, or_else: int = 0, **more: Any) -> httpx.Response:
        """The answer *wanted*, however often it takes: the Idempotency-Key makes one change of all of them."""
        headers = {"Idempotency-Key": f"{self.name}-{self.chance.getrandbits(64):x}"} if method == "POST" else {}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            said = "no answer"
            try:
                answer = self.client.request(method, path, headers=headers, **more)
                if answer.status_code in (wanted, or_else):
                    return answer
                said = f"{answer.status_code} {answer.text}"
                assert answer.status_code in (202, 409, 500, 502, 503), said
                assert not {"AGENT_ERROR", "NAME_TAKEN"} & set(re.findall(r"[A-Z_]+", said)), said
            except httpx.TransportError as error:
                said = repr(error)
            assert time.monotonic() < deadline, f"{method} {path}: {said}"
            time.sleep(0.3)


def kill_at_random(stack: Stack, chance: random.Random, is_over: threading.Event) -> list[str]:
    """End a program of the supervisor's, or a child of one, and once the API is back the next; what was ended."""
    supervisor = int((stack.home / "supervisor/supervisord.pid").read_text(encoding="ascii"))
    killed = []
    while not is_over.wait(chance.uniform(0.2, 4)):
        program = chance.choice(children(supervisor) or [0])
        family = children(program)
        pid = chance.choice(family) if family and chance.random() < 0.3 else program
        if pid and (name := words(pid)):
            os.kill(pid, signal.SIGKILL)
            killed.append(f"{name} (child)" if pid in family else name)
        until("the API is back", lambda: is_over.is_set() or is_ready(stack))
    return killed


def is_ready(stack: Stack) -> bool:
    try:
        return httpx.get(f"{stack.url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def words(pid: int) -> str:
    """The last word of its command line: a program, a module, a file."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ").split()
    except OSError:
        return ""
    return line[-1] if line else ""


def until(what: str, look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline, f"it is still not so: {what}"
        time.sleep(0.3)


@pytest.fixture
def people(stack: Stack) -> Iterator[list[Person]]:
    made = []
    for number in range(4):
        email = f"kills{number}@example.com"
        stack.user(email)
        client = stack.client(stack.key(email))
        made.append(Person(client, f"kills{number}", random.Random(f"{SEED}-{number}")))
    yield made
    for person in made:
        for known in person.databases.values():
            person.client.delete(f"/databases/{known.id}?skipFinalBackup=true")
        person.client.close()


def test_what_was_acknowledged_is_there_and_nothing_else(stack: Stack, people: list[Person]) -> None:
    print(f"DBHOST_TEST_SEED={SEED}")
    is_over = threading.Event()
    with ThreadPoolExecutor(len(people) + 1) as pool:
        killing = pool.submit(kill_at_random, stack, random.Random(SEED), is_over)
        working = [pool.submit(person.work_until, is_over) for person in people]
        is_over.wait(LOAD_S)
        is_over.set()
        print("killed:", ", ".join(killing.result()))
        for work in working:
            work.result()
    assert len(killing.result()) >= 4
    until("all is well", lambda: stack.dbhost("doctor", check=False).returncode == 0)
    assert_the_api_tells_what_it_acknowledged(people)
    assert_the_host_has_what_has_a_row(stack, people)
    assert_who_is_active_gets_in_and_nobody_else(people)
    checked = stack.dbhost("converge", "--check").stdout
    assert "changed=0" in checked, checked


def assert_the_api_tells_what_it_acknowledged(people: list[Person]) -> None:
    for person in people:
        rows = person.client.get("/databases?limit=100").json()["data"]
        assert {row["name"]: row["status"] for row in rows} == {
            name: known.status for name, known in person.databases.items()
        }
        for known in person.databases.values():
            listed = person.client.get(f"/databases/{known.id}/allowlist").json()["data"]
            assert [entry["cidr"] for entry in listed] == known.networks
        for state in ("queued", "running", "failed"):
            assert person.client.get(f"/operations?state={state}").json()["data"] == []


def assert_the_host_has_what_has_a_row(stack: Stack, people: list[Person]) -> None:
    """Once the final backups of what was deleted are made, no database or role is there that nobody has."""
    expected = sorted(name for person in people for name in person.databases)
    with stack.provisioner() as connection:

        def names(query: str) -> list[str]:
            return sorted(row[0] for row in connection.execute(query).fetchall())

        held = "SELECT datname FROM pg_database WHERE datname ~ '^dbhost-held-'"
        until("deleted databases are gone", lambda: not names(held))
        assert names("SELECT datname FROM pg_database WHERE datname ~ '^kills'") == expected
        assert names("SELECT rolname FROM pg_roles WHERE rolname ~ '^(kills|dbhost-held-)'") == expected
    served = re.findall(r"^(kills\S+) = ", (stack.home / "pgbouncer/databases.ini").read_text(encoding="utf-8"), re.M)
    active = [name for person in people for name, known in person.databases.items() if known.status == "active"]
    assert sorted(served) == sorted(active)


def gets_in(url: str, **instead: str) -> bool:
    try:
        with psycopg.connect(psycopg.conninfo.make_conninfo(url, **instead), connect_timeout=10) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def assert_who_is_active_gets_in_and_nobody_else(people: list[Person]) -> None:
    everything = {name: known for person in people for name, known in person.databases.items()}
    for name, known in everything.items():
        assert gets_in(known.url) is known.is_open, name
        assert not any(gets_in(url) for url in known.dead), name
        assert not any(gets_in(known.url, dbname=other) for other in everything if other != name), name
    assert not any(gets_in(url) for person in people for url in person.gone)
