"""An upload of 512 MB is on its way through the disk to the object store and never in the web process's memory."""

import contextlib
import http.client
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.stack.conftest import create, create_all, crowd_of
from tests.support.object_store import object_store_server, settings_of
from tests.support.stack import Stack, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]  # 512 MB, after a hundred creates
UPLOAD_BYTES = 512 * 1024 * 1024 - 64 * 1024
LIMIT_MB = 150
HEAD = (
    b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="dump.sql"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)
TAIL = b"\r\n--xyz--\r\n"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack of its own, so that it is known what its processes have served, with an object store."""
    with (
        object_store_server(tmp_path) as address,
        running_stack("alice@example.com", settings=settings_of(address)) as fresh,
    ):
        yield fresh


def web_processes(stack: Stack) -> list[int]:
    """The web program's own process and those that it has forked."""
    first = stack.pid("web")
    children = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="ascii")
    return [first, *map(int, children.split())]


def peak_mb(pid: int) -> float:
    """The most memory that the process has had resident."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def chunks() -> Iterator[bytes]:
    """The request's body: what no compression makes smaller, a megabyte at a time."""
    yield HEAD
    block = os.urandom(1 << 20)
    for start in range(0, UPLOAD_BYTES, len(block)):
        yield block[: UPLOAD_BYTES - start]
    yield TAIL


def send(stack: Stack, path: str, key: str) -> tuple[int, bytes]:
    headers = {
        "Authorization": key,
        "Content-Type": "multipart/form-data; boundary=xyz",
        "Prefer": "respond-async",
        "Content-Length": str(len(HEAD) + UPLOAD_BYTES + len(TAIL)),
    }
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", stack.ports[0], timeout=300)) as connection:
        connection.request("POST", path, body=chunks(), headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the memory of the stack's other OS users")
def test_the_web_process_stays_small(stack: Stack) -> None:
    with crowd_of(stack) as crowd:
        assert {answer.status_code for answer in create_all(crowd, "crowd")} <= {201, 202}  # a busy machine is late
    with stack.client(stack.key("alice@example.com")) as alice:
        upload(stack, alice)


def upload(stack: Stack, alice: httpx.Client) -> None:
    database = create(alice)
    path = f"/databases/{database['id']}/backups/restore"
    before = {pid: peak_mb(pid) for pid in web_processes(stack)}
    status, told = send(stack, f"/api/v1{path}", alice.headers["Authorization"])
    assert status == 202, told
    after = {pid: peak_mb(pid) for pid in web_processes(stack)}
    assert set(after) == set(before)
    assert max(after.values()) < LIMIT_MB
    assert not list((stack.home / "spool" / "uploads").iterdir())
