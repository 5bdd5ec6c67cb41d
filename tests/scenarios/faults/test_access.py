"""Who gets in where, on a real host: members by credentials of their own, networks, databases over their storage."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.fleet.support import on_host
from tests.scenarios import hosts
from tests.support.elsewhere import from_address
from webapp.fleet import record
from webapp.fleet.commands import run
from webapp.fleet.record import Record

STACK, FLEET = hosts.stack("faults"), hosts.fleet("faults")
HOSTS = {host.address: host for host in FLEET.hosts()}
RUN = secrets.token_hex(3)  # the hosts may be looked at again
PREFIX = "fd00:db::"  # of this test alone: the hosts have IPv4 only


@pytest.fixture(scope="module")
def owner() -> Iterator[httpx.Client]:
    """Somebody whose plan has little storage (plans.toml)."""
    with person(f"owner-{RUN}@example.org", "pro") as client:
        yield client


@pytest.fixture(scope="module")
def shop(owner: httpx.Client) -> dict[str, Any]:
    made = owner.post("/databases", json={"name": f"shop-{RUN}", "displayName": "Shop"})
    assert made.status_code == 201, made.text
    with session(made.json()["connectionString"]) as connection:
        connection.execute("CREATE TABLE goods AS SELECT 1 AS id")
    return dict(made.json())


@pytest.fixture
def elsewhere(shop: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Another address of this machine, which the host sees, and the connection string of a client there."""
    address = str(known_record().network[200])
    run("ip", "address", "add", f"{address}/32", "dev", FLEET.names.bridge)
    try:
        with from_address(address, shop["host"], shop["port"]) as port:
            way = {"host": shop["host"], "hostaddr": "127.0.0.1", "port": port}
            yield address, psycopg.conninfo.make_conninfo(shop["connectionString"], **way)
    finally:
        run("ip", "address", "delete", f"{address}/32", "dev", FLEET.names.bridge)


@pytest.fixture
def over_ipv6(shop: dict[str, Any]) -> Iterator[str]:
    """The connection string of a client that comes by IPv6; the certificate has no name for that address."""
    address = PREFIX + shop["host"].rpartition(".")[2]
    on_host(HOSTS[shop["host"]], f"sudo ip address add {address}/64 dev host0 nodad")
    run("ip", "address", "add", f"{PREFIX}1/64", "dev", FLEET.names.bridge, "nodad")
    try:
        yield psycopg.conninfo.make_conninfo(shop["connectionString"], host=address, sslmode="verify-ca")
    finally:
        run("ip", "address", "delete", f"{PREFIX}1/64", "dev", FLEET.names.bridge)
        on_host(HOSTS[shop["host"]], f"sudo ip address delete {address}/64 dev host0")


def known_record() -> Record:
    known = record.read(FLEET.names.record_file)
    assert known
    return known


def person(email: str, plan: str = "business") -> httpx.Client:
    STACK.user(email, plan)
    return STACK.client(STACK.key(email))


def session(connection_string: str) -> psycopg.Connection[Any]:
    return psycopg.connect(connection_string, autocommit=True, connect_timeout=10)


def refused(connection_string: str) -> str:
    with pytest.raises(psycopg.OperationalError) as error:
        session(connection_string).close()
    return str(error.value)


def is_refused(connection_string: str) -> bool:
    """Also a login that PgBouncer lets in and that finds no role behind it, while the two are being changed."""
    try:
        with session(connection_string) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def is_cut(connection: psycopg.Connection[Any]) -> bool:
    try:
        connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def wait(happened: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {within_s} s"
        time.sleep(0.05)


def allow(owner: httpx.Client, database: dict[str, Any], *cidrs: str) -> None:
    listed = {"data": [{"cidr": cidr, "label": "Test"} for cidr in cidrs]}
    done = owner.put(f"/databases/{database['id']}/allowlist", json=listed)
    assert done.status_code == 200, done.text


@pytest.mark.parametrize("level", ["admin", "developer", "viewer"])
def test_a_member_has_credentials_of_their_own_while_the_membership_lasts(
    owner: httpx.Client, shop: dict[str, Any], level: str
) -> None:
    place = f"/databases/{shop['id']}/members"
    email = f"{level}-{RUN}@example.org"
    with person(email) as member:
        added = owner.post(place, json={"email": email, "role": level})
        assert added.status_code == 201, added.text
        made = member.post(f"{place}/me/credentials")
        assert made.status_code == 201, made.text
        own = made.json()["connectionString"]
        assert made.json()["username"].startswith(f"{shop['name']}.")
        with session(own) as connection:
            assert connection.execute("SELECT count(*) > 0 FROM goods").fetchone() == (True,)
            write(connection, level)
            assert owner.delete(f"{place}/{added.json()['id']}").status_code == 204
            wait(lambda: is_cut(connection), 30)
        wait(lambda: is_refused(own), 10)
        wait(lambda: is_settled(owner, shop), 30)
        assert member.get(f"/databases/{shop['id']}").status_code == 404


def is_settled(owner: httpx.Client, database: dict[str, Any]) -> bool:
    """What the worker does by itself after an answer has ended."""
    listed = owner.get("/operations", params={"limit": 100}).json()["data"]
    return all(operation["state"] not in ("queued", "running") for operation in listed)


def write(connection: psycopg.Connection[Any], level: str) -> None:
    """Admins and developers do, a viewer cannot, not even in a transaction that says it writes."""
    if level != "viewer":
        connection.execute("INSERT INTO goods VALUES (2)")
        connection.execute(f"CREATE TABLE of_{level} (id int)")
        return
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("INSERT INTO goods VALUES (3)")
    connection.execute("BEGIN READ WRITE")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("INSERT INTO goods VALUES (3)")
    connection.execute("ROLLBACK")


def test_what_a_member_made_is_the_databases_own_afterwards(shop: dict[str, Any]) -> None:
    with session(shop["connectionString"]) as connection:
        owners = connection.execute("SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'")
        assert owners.fetchall() == [(shop["name"],)]


def test_another_network_is_refused_within_a_second_and_its_sessions_cut(
    owner: httpx.Client, shop: dict[str, Any], elsewhere: tuple[str, str]
) -> None:
    address, from_there = elsewhere
    here = str(known_record().bridge_address)
    allow(owner, shop, f"{here}/32", f"{address}/32")
    with session(from_there) as there:
        assert there.execute("SELECT 1").fetchone() == (1,)
        allow(owner, shop, f"{here}/32")
        wait(lambda: is_cut(there), 1)
        assert "no authentication method" in refused(from_there)
    session(shop["connectionString"]).close()
    allow(owner, shop)
    session(from_there).close()


def test_an_entry_of_ipv6_lets_in_what_it_names(owner: httpx.Client, shop: dict[str, Any], over_ipv6: str) -> None:
    session(over_ipv6).close()
    allow(owner, shop, f"{PREFIX}/64")
    session(over_ipv6).close()
    refused(shop["connectionString"])
    allow(owner, shop, "2001:db8::/32")
    refused(over_ipv6)
    allow(owner, shop)
    session(over_ipv6).close()


def test_a_drift_made_by_hand_is_found_and_repaired(shop: dict[str, Any]) -> None:
    host = HOSTS[shop["host"]]
    on_host(host, f"sudo -u postgres psql -qc 'ALTER ROLE \"{shop['name']}\" NOLOGIN'")
    assert f'ALTER ROLE "{shop["name"]}" LOGIN' in STACK.dbhost("converge", "--host", host.name, "--check").stdout
    STACK.dbhost("converge", "--host", host.name)
    assert "changed=0" in STACK.dbhost("converge", "--host", host.name, "--check").stdout
    session(shop["connectionString"]).close()


def test_over_its_storage_a_database_reads_only_and_comes_back_by_itself(
    owner: httpx.Client, shop: dict[str, Any]
) -> None:
    def state() -> str:
        return str(owner.get(f"/databases/{shop['id']}").json()["storageState"])

    with session(shop["connectionString"]) as connection:
        connection.execute("CREATE TABLE much AS SELECT repeat('x', 900) AS x FROM generate_series(1, 15000)")
    wait(lambda: state() == "readOnly" and mode(shop) == "reads", 240)
    with session(shop["connectionString"]) as connection:
        assert connection.execute("SELECT count(*) FROM much").fetchone() == (15000,)
        connection.execute("BEGIN READ WRITE")
        connection.execute("DROP TABLE much")
        connection.execute("COMMIT")
    wait(lambda: state() == "open" and mode(shop) == "writes", 240)


def mode(database: dict[str, Any]) -> str:
    """What a client meets; `closed` for a moment, while the host changes it."""
    try:
        with session(database["connectionString"]) as connection:
            connection.execute("INSERT INTO goods VALUES (4)")
    except psycopg.errors.ReadOnlySqlTransaction:
        return "reads"
    except psycopg.OperationalError:
        return "closed"
    return "writes"
