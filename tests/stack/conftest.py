"""One stack for all tests of this folder; each test makes the databases it needs."""

import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest

from tests.support.stack import Stack, running_stack

AT_ONCE = "skipFinalBackup=true"  # how tests clear up: a final backup would be work that nobody looks at


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    with running_stack("alice@example.com", "bob@example.com") as running:
        yield running


@pytest.fixture(scope="session")
def alice(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client(stack.key("alice@example.com")) as client:
        yield client


@pytest.fixture(scope="session")
def bob(stack: Stack) -> Iterator[httpx.Client]:
    with stack.client(stack.key("bob@example.com")) as client:
        yield client


def create(client: httpx.Client, name: str | None = None) -> dict[str, Any]:
    """A new database, by the API."""
    name = name or f"t-{secrets.token_hex(4)}"
    answer = client.post("/databases", json={"name": name, "displayName": name.title()})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


@pytest.fixture
def database(alice: httpx.Client) -> Iterator[dict[str, Any]]:
    """A database of Alice's for one test."""
    created = create(alice)
    yield created
    assert alice.delete(f"/databases/{created['id']}?{AT_ONCE}").status_code in (204, 404)


@contextmanager
def crowd_of(stack: Stack) -> Iterator[list[httpx.Client]]:
    """Five users with room for twenty databases each."""
    with ExitStack() as clients:
        yield [clients.enter_context(client_of(stack, f"crowd{number}@example.com")) for number in range(5)]


def client_of(stack: Stack, email: str) -> httpx.Client:
    """The client of a new user."""
    stack.user(email)
    return stack.client(stack.key(email))


@pytest.fixture(scope="session")
def crowd(stack: Stack) -> Iterator[list[httpx.Client]]:
    """For all tests of this folder, each of which leaves it without a database."""
    with crowd_of(stack) as clients:
        yield clients


def create_all(crowd: list[httpx.Client], prefix: str, **headers: str) -> list[httpx.Response]:
    """A hundred databases, asked for at once; who is told that too many are under way at once asks again."""

    def post(number: int) -> httpx.Response:
        body = {"name": f"{prefix}-{number:03}", "displayName": str(number)}
        for _ in range(5):
            answer = crowd[number % 5].post("/databases", json=body, headers=headers)
            if answer.status_code != 429:
                break
        return answer

    with ThreadPoolExecutor(100) as pool:
        return list(pool.map(post, range(100)))
