"""The allowlist as clients meet it: who comes from elsewhere is refused, and cut when the list gets narrower."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.stack.test_lifecycle import cut_within, refused
from tests.support.elsewhere import from_address
from tests.support.stack import Stack

pytestmark = pytest.mark.stack


@pytest.fixture
def elsewhere(stack: Stack, database: dict[str, Any]) -> Iterator[str]:
    """The connection string of a client at 127.0.0.2; PgBouncer sees that address."""
    with from_address("127.0.0.2", "127.0.0.1", stack.ports[1]) as port:
        yield psycopg.conninfo.make_conninfo(database["connectionString"], port=port)


def put(client: httpx.Client, database: dict[str, Any], *cidrs: str) -> dict[str, Any]:
    answer = client.put(
        f"/databases/{database['id']}/allowlist", json={"data": [{"cidr": cidr, "label": ""} for cidr in cidrs]}
    )
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def works(connection_string: str) -> bool:
    with psycopg.connect(connection_string, connect_timeout=5) as connection:
        return connection.execute("select 1").fetchone() == (1,)


def test_a_network_lets_in_and_shuts_out(alice: httpx.Client, database: dict[str, Any], elsewhere: str) -> None:
    here = database["connectionString"]
    assert works(here)
    assert works(elsewhere)

    put(alice, database, "127.0.0.1/32")
    assert works(here)
    assert "no authentication method" in refused(elsewhere)

    put(alice, database, "127.0.0.1", "127.0.0.2")
    assert works(here)
    assert works(elsewhere)

    put(alice, database, "2001:db8::/32")
    refused(here)
    refused(elsewhere)

    assert put(alice, database)["data"] == []
    assert works(here)
    assert works(elsewhere)


def test_a_narrower_list_cuts_open_sessions_within_a_second(
    alice: httpx.Client, database: dict[str, Any], elsewhere: str
) -> None:
    put(alice, database, "127.0.0.0/8")
    with psycopg.connect(elsewhere, autocommit=True) as session:
        session.execute("select 1")
        put(alice, database, "127.0.0.1/32")
        cut_within(session, 1)
    refused(elsewhere)
    assert works(database["connectionString"])


def test_a_wider_list_cuts_nobody(alice: httpx.Client, database: dict[str, Any], elsewhere: str) -> None:
    put(alice, database, "127.0.0.2/32")
    with psycopg.connect(elsewhere, autocommit=True) as session:
        session.execute("select 1")
        assert put(alice, database, "127.0.0.0/8", "0.0.0.0/0")["warnings"]
        time.sleep(0.5)
        assert session.execute("select 1").fetchone() == (1,)


def test_it_outlives_stop_start_and_a_new_password(
    alice: httpx.Client, database: dict[str, Any], elsewhere: str
) -> None:
    put(alice, database, "127.0.0.1/32")
    for change in ("stop", "start"):
        assert alice.post(f"/databases/{database['id']}/{change}").status_code == 200
    password = alice.post(f"/databases/{database['id']}/reset-password").json()["password"]
    assert works(database["connectionString"].replace(database["password"], password))
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(psycopg.conninfo.make_conninfo(elsewhere, password=password))


def test_a_stranger_has_no_say(bob: httpx.Client, alice: httpx.Client, database: dict[str, Any]) -> None:
    answer = bob.put(f"/databases/{database['id']}/allowlist", json={"data": [{"cidr": "::/0"}]})
    assert (answer.status_code, answer.json()["code"]) == (404, "DATABASE_NOT_FOUND")
    assert alice.get(f"/databases/{database['id']}/allowlist").json()["data"] == []
