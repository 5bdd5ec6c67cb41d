"""Both doors of a database: the pooled one and the direct one, with the same name, user and password."""

import os
import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from tests.support.dataplane import verifier

DIRECT_SESSIONS = 3


@pytest.fixture(params=["pooled", "direct"])
def door(request, dataplane):
    """The port of each door in turn."""
    return {"pooled": dataplane.pgbouncer_port, "direct": dataplane.direct_port}[request.param]


@pytest.fixture
def ports(dataplane):
    return (dataplane.pgbouncer_port, dataplane.direct_port)


def is_refused(connect: Callable[[], psycopg.Connection]) -> bool:
    try:
        connect().close()
    except psycopg.OperationalError:
        return True
    return False


def test_the_same_password_opens_both_and_each_asks_for_tls(dataplane, shop, door):
    with dataplane.connect(shop.name, shop.password, port=door) as connection:
        assert connection.execute("SELECT current_user::text").fetchone() == (shop.name,)
        assert connection.pgconn.ssl_in_use
    with pytest.raises(psycopg.OperationalError, match="SSL required"):
        psycopg.connect(dataplane.url(shop.name, shop.password, port=door).replace("verify-full", "disable"))
    assert is_refused(lambda: dataplane.connect(shop.name, "wrong", port=door))


@pytest.mark.parametrize("change", ["stopped", "closed", "absent", "password", "networks", "disconnect", "member"])
def test_a_change_cuts_sessions_at_both(dataplane, shop, ports, change):
    role, secret = f"{shop.name}.abcd2345", "of-a-member"
    member = {"role": role, "level": "admin", "verifier": verifier(secret)}
    if change == "member":
        assert dataplane.converge(shop.item(members=[member]))[0]["error"] is None
    before = shop.password
    who = (role, secret) if change == "member" else (shop.name, before)
    sessions = [dataplane.connect(*who, shop.name, port=port) for port in ports]
    for session in sessions:
        session.execute("SELECT 1")
    if change == "password":
        shop.change_password("fresh")
    wanted = {"networks": {"networks": ["203.0.113.0/24"]}, "disconnect": {"disconnect": True}, "member": {}}
    item = shop.item(**({"state": change} if change in ("stopped", "closed", "absent") else wanted.get(change, {})))
    assert dataplane.converge(item)[0]["error"] is None
    for session in sessions:
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    stays_open = change in ("disconnect", "member")
    for port in ports:
        assert is_refused(lambda port=port: dataplane.connect(shop.name, before, port=port)) is not stays_open
        assert is_refused(lambda port=port: dataplane.connect(role, secret, shop.name, port=port))
        if change == "password":
            dataplane.connect(shop.name, "fresh", port=port).close()
    assert not dataplane.converge({**item, "disconnect": False})[0]["changed"]


def test_a_member_gets_in_at_both_and_shares_the_databases_sessions(dataplane, shop, door):
    role, secret = f"{shop.name}.abcd2345", "of-a-member"
    item = shop.item(members=[{"role": role, "level": "admin", "verifier": verifier(secret)}])
    assert dataplane.converge(item)[0]["error"] is None
    with dataplane.connect(role, secret, shop.name, port=door) as connection:
        assert connection.execute("SELECT session_user::text").fetchone() == (role,)


def test_a_session_at_the_direct_door_is_the_clients_own(dataplane, shop):
    """What breaks between transactions of a pooled connection."""
    notified = []
    with (
        dataplane.connect(shop.name, shop.password, port=dataplane.direct_port) as session,
        dataplane.connect(shop.name, shop.password) as other,
    ):
        for statement in (
            "SET statement_timeout = '77s'",
            "CREATE TEMP TABLE kept (n int)",
            "SELECT pg_advisory_lock(7)",
            "PREPARE twice AS SELECT 2 * $1::int",
            "BEGIN",
            "DECLARE c CURSOR WITH HOLD FOR SELECT generate_series(1, 3)",
            "COMMIT",
            "CREATE TABLE numbered (id serial)",
            "INSERT INTO numbered DEFAULT VALUES",
            "LISTEN news",
        ):
            session.execute(statement)
            with dataplane.connect(shop.name, shop.password, port=dataplane.direct_port) as between:
                between.execute("SELECT 1")
        assert session.execute("SHOW statement_timeout").fetchone() == ("77s",)
        assert session.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        assert session.execute("EXECUTE twice(21)").fetchone() == (42,)
        assert session.execute("FETCH ALL c").fetchall() == [(1,), (2,), (3,)]
        assert session.execute("SELECT lastval()").fetchone() == (1,)
        assert other.execute("SELECT pg_try_advisory_lock(7)").fetchone() == (False,)
        other.execute("NOTIFY news, 'here'")
        notified += [notice.payload for notice in session.notifies(timeout=10, stop_after=1)]
    assert notified == ["here"]


def test_nothing_of_a_direct_session_reaches_the_next(dataplane, shop):
    """One server connection at most, so that the second client gets the one that the first had."""
    assert dataplane.converge(shop.item(direct_pool_size=1))[0]["error"] is None
    pids = []
    for first in (True, False):
        with dataplane.connect(shop.name, shop.password, port=dataplane.direct_port) as session:
            pids.append(session.info.backend_pid)
            timeout = session.execute("SHOW statement_timeout").fetchone()
            assert timeout != ("77s",)
            if first:
                session.execute("SET statement_timeout = '77s'")
                session.execute("SELECT pg_advisory_lock(7)")
            else:
                assert session.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)


def test_all_direct_sessions_taken_starve_neither_the_pooled_door_nor_a_neighbour(dataplane, shop, tenants, ports):
    neighbour = tenants()
    assert dataplane.converge(neighbour.item())[0]["error"] is None
    assert dataplane.converge(shop.item(direct_pool_size=DIRECT_SESSIONS))[0]["error"] is None
    held = [dataplane.connect(shop.name, shop.password, port=dataplane.direct_port) for _ in range(DIRECT_SESSIONS)]
    try:
        for session in held:
            session.execute("SELECT 1")
        refusals = []
        waiting = threading.Thread(target=lambda: refusals.append(refusal(dataplane, shop)))
        waiting.start()
        with dataplane.connect(shop.name, shop.password) as pooled:
            assert pooled.execute("SELECT 1").fetchone() == (1,)
        for port in ports:
            with dataplane.connect(neighbour.name, neighbour.password, port=port) as session:
                assert session.execute("SELECT 1").fetchone() == (1,)
        # The host can still change the database, and prove it at both doors.
        assert dataplane.converge(shop.item(direct_pool_size=DIRECT_SESSIONS, pool_size=24))[0]["error"] is None
        waiting.join(60)
        assert refusals == ["query_wait_timeout"]
    finally:
        for session in held:
            session.close()
    with dataplane.connect(shop.name, shop.password, port=dataplane.direct_port) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def refusal(dataplane, shop) -> str:
    """What a client that finds all sessions taken is told, in the end."""
    try:
        with dataplane.connect(shop.name, shop.password, port=dataplane.direct_port) as session:
            session.execute("SELECT 1")
    except psycopg.OperationalError as error:
        return str(error).splitlines()[0].rpartition(" ")[2]
    return "let in"


def test_owner_and_members_together_stay_within_the_pooled_share(dataplane, shop):
    role, secret = f"{shop.name}.abcd2345", "of-a-member"
    members = [{"role": role, "level": "admin", "verifier": verifier(secret)}]
    assert dataplane.converge(shop.item(pool_size=2, members=members))[0]["error"] is None
    ways = [(shop.name, shop.password), (shop.name, shop.password), (role, secret)]
    sessions = [dataplane.connect(*way, shop.name) for way in ways]
    try:
        sessions[0].execute("BEGIN; SELECT 1")
        sessions[1].execute("BEGIN; SELECT 1")
        done = threading.Event()
        late = threading.Thread(target=lambda: (sessions[2].execute("SELECT 1"), done.set()))
        late.start()
        assert not done.wait(0.7)
        sessions[0].execute("COMMIT")
        assert done.wait(20)
        late.join()
    finally:
        for session in sessions:
            session.close()


def test_a_batch_reloads_each_process_once(dataplane, tenants):
    many = [tenants() for _ in range(4)]
    before = [dataplane.log(service).count("got SIGHUP") for service in dataplane.services()]
    assert len(before) == 2
    assert not [result for result in dataplane.converge(*(tenant.item() for tenant in many)) if result["error"]]
    after = [dataplane.log(service).count("got SIGHUP") for service in dataplane.services()]
    assert after == [count + 1 for count in before]


@pytest.mark.parametrize("text", ["", "garbage here =\n[nothing", None])
def test_the_direct_doors_file_broken_by_hand_is_restored(dataplane, shop, text):
    path = dataplane.config_dir / "databases-direct.ini"
    good = path.read_text()
    path.unlink() if text is None else path.write_text(text)
    os.kill(dataplane.processes["pgbouncer-direct"].pid, 1)
    [result] = dataplane.tenants(shop.item())
    assert (result["error"], path.read_text()) == (None, good)
    dataplane.connect(shop.name, shop.password, port=dataplane.direct_port).close()
    assert not dataplane.tenants(shop.item())[0]["changed"]


def test_a_door_that_is_down_is_told_and_the_other_obeys_all_the_same(dataplane, shop):
    process = dataplane.processes["pgbouncer-direct"]
    process.terminate()
    process.wait(10)
    try:
        [result] = dataplane.tenants(shop.item(state="stopped"))
        assert (result["error"]["code"], result["error"]["retryable"]) == ("pgbouncer_unavailable", True)
        assert "direct" in result["error"]["message"]
        deadline = time.monotonic() + 10
        while not is_refused(lambda: dataplane.connect(shop.name, shop.password)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert is_refused(lambda: dataplane.connect(shop.name, shop.password))
    finally:
        dataplane.restart_pgbouncer()
    assert dataplane.tenants(shop.item(state="stopped"))[0]["error"] is None
    assert dataplane.tenants(shop.item())[0]["error"] is None


def test_a_host_without_the_direct_door_is_converged_and_says_so(dataplane, shop):
    ini = dataplane.config_dir / "direct.ini"
    kept = ini.rename(ini.with_suffix(".aside"))
    try:
        [result] = dataplane.tenants(shop.item(pool_size=7))
        assert (result["error"], len(result["notes"])) == (None, 1)
        assert "no direct door" in result["notes"][0]
    finally:
        kept.rename(ini)
    [result] = dataplane.tenants(shop.item(pool_size=7))
    assert (result["error"], result["notes"]) == (None, [])


def test_sizes_that_do_not_fit_are_noted(dataplane, shop):
    [result] = dataplane.tenants(shop.item(connection_limit=20, pool_size=15, direct_pool_size=6))
    assert result["error"] is None
    assert "connection_limit (20)" in result["notes"][0]


def test_the_control_planes_own_database_has_no_direct_door(dataplane):
    text = (dataplane.config_dir / "databases-direct.ini").read_text()
    assert "dbhost-" not in text
