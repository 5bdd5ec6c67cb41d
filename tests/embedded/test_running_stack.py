"""What a running stack refuses, seen from outside."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.embedded.support import PROGRAMS, living, pids
from tests.support.servers import free_ports
from tests.support.stack import Stack, running_stack

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    """A stack that runs, for tests that do nothing to it."""
    with running_stack() as stack:
        yield stack


def test_a_taken_port_is_named_and_nothing_is_started(running: Stack) -> None:
    other = Stack(running.home.parent / "other", [running.ports[0], *free_ports(2)])
    try:
        refused = other.dbhost("up", "--detach", check=False)
        assert refused.returncode == 1
        assert f"Port {running.ports[0]} is taken: set DBHOST_WEB_PORT" in refused.stderr
        assert living(other.home) == []
    finally:
        other.purge()
    assert set(pids(running)) == PROGRAMS


@pytest.mark.parametrize("role", ["postgres", "dbhost_provisioner"])
def test_privileged_roles_are_refused_over_tcp(running: Stack, role: str) -> None:
    for port, words in ((running.ports[2], "pg_hba.conf rejects"), (running.ports[1], "no such|not allowed|failed")):
        with pytest.raises(psycopg.OperationalError, match=words):
            psycopg.connect(host="127.0.0.1", port=port, user=role, password="x", dbname="postgres", connect_timeout=5)
