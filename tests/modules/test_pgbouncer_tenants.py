"""`pgbouncer_tenants` on a real PgBouncer: who gets in, who is cut, and how broken files heal."""

import os
import time

import psycopg
import pytest

from agent_modules.module_utils.dbhost import pgbouncer_process, publishing
from tests.support.dataplane import verifier


def refused(dataplane, name, password):
    with pytest.raises(psycopg.OperationalError):
        dataplane.connect(name, password)
    return True


def settled(dataplane, item):
    [result] = dataplane.converge(item)
    return result["error"] is None and not result["changed"]


def mentions(dataplane, name):
    files = {path.name: path.read_text() for path in dataplane.config_dir.glob("*") if path.name != "pgbouncer.pid"}
    return {file for file, text in files.items() if name in text}


def test_a_check_predicts_what_a_run_does_and_changes_nothing(dataplane, tenants):
    tenant = tenants()
    item = tenant.item()
    predicted = dataplane.converge(item, check=True)
    assert mentions(dataplane, tenant.name) == set()
    assert [result["changes"] for result in dataplane.converge(item)] == [result["changes"] for result in predicted]
    assert settled(dataplane, item)


def test_a_tenant_gets_in_over_tls_alone(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as connection:
        assert connection.execute("SELECT current_user::text, current_database()::text").fetchone() == (
            shop.name,
            shop.name,
        )
        assert connection.pgconn.ssl_in_use
    with pytest.raises(psycopg.OperationalError, match="SSL required"):
        psycopg.connect(dataplane.url(shop.name, shop.password).replace("verify-full", "disable"))


def test_absent_takes_lines_out_and_leaves_a_tombstone(dataplane, shop):
    item = shop.item(state="absent")
    with dataplane.connect(shop.name, shop.password) as session:
        assert dataplane.converge(item)[0]["error"] is None
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert refused(dataplane, shop.name, shop.password)
    assert mentions(dataplane, shop.name) == {"userlist.txt"}
    assert shop.verifier not in (dataplane.config_dir / "userlist.txt").read_text()
    assert settled(dataplane, item)


def test_stopped_cuts_clients_in_under_two_seconds_and_present_lets_them_in_again(dataplane, shop, tenants):
    neighbour = tenants()
    dataplane.converge(neighbour.item())
    with (
        dataplane.connect(neighbour.name, neighbour.password) as untouched,
        dataplane.connect(shop.name, shop.password) as cut,
    ):
        cut.execute("SELECT 1")
        started = time.monotonic()
        dataplane.converge(shop.item(state="stopped"))
        assert time.monotonic() - started < 2
        with pytest.raises(psycopg.OperationalError):
            cut.execute("SELECT 1")
        untouched.execute("SELECT 1")
    assert refused(dataplane, shop.name, shop.password)
    assert dataplane.converge(shop.item())[0]["error"] is None
    dataplane.connect(shop.name, shop.password).close()


def test_a_new_password_ends_the_old_one_also_where_a_session_was_open(dataplane, shop):
    old = shop.password
    with dataplane.connect(shop.name, old) as busy, dataplane.connect(shop.name, old) as idle:
        busy.execute("SELECT 1")
        shop.change_password("fresh")
        item = shop.item()
        assert dataplane.converge(item)[0]["error"] is None
        for session in (busy, idle):
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT 1")
    assert refused(dataplane, shop.name, old)
    dataplane.connect(shop.name, "fresh").close()
    assert settled(dataplane, item)


def test_of_two_rotations_within_a_second_the_last_one_is_live(dataplane, shop):
    for password in ("first", "second"):
        shop.change_password(password)
        assert dataplane.converge(shop.item())[0]["error"] is None
    assert refused(dataplane, shop.name, "first")
    dataplane.connect(shop.name, "second").close()


def test_disconnect_cuts_once_for_a_generation(dataplane, shop):
    item = shop.item(disconnect=True)
    with dataplane.connect(shop.name, shop.password) as session:
        assert dataplane.converge(item)[0]["error"] is None
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    with dataplane.connect(shop.name, shop.password) as session:
        assert settled(dataplane, item)
        session.execute("SELECT 1")


def test_networks_let_in_and_shut_out_without_hiding_the_proof(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as session:
        item = shop.item(networks=["203.0.113.0/24"])
        assert dataplane.converge(item)[0]["error"] is None
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    assert refused(dataplane, shop.name, shop.password)
    assert settled(dataplane, item)
    assert dataplane.converge(shop.item(networks=["203.0.113.0/24", "127.0.0.0/8"]))[0]["error"] is None
    dataplane.connect(shop.name, shop.password).close()


@pytest.mark.parametrize("broken", ["databases.ini", "hba.conf", "userlist.txt"])
@pytest.mark.parametrize("text", ["", "garbage here =\n[nothing", None])
def test_a_file_broken_by_hand_is_restored(dataplane, shop, broken, text):
    path = dataplane.config_dir / broken
    good = path.read_text()
    path.unlink() if text is None else path.write_text(text)
    os.kill(dataplane.processes["pgbouncer"].pid, 1)
    dataplane.tenants(shop.item())
    assert path.read_text() == good
    dataplane.connect(shop.name, shop.password).close()
    assert dataplane.processes["pgbouncer"].poll() is None
    assert settled(dataplane, shop.item())


@pytest.mark.parametrize("killed_at", ["prove", "save", "write", "reload", "wait"])
@pytest.mark.parametrize("number", [1, 2])
def test_a_rotation_killed_anywhere_is_healed_and_never_skips_the_cut(dataplane, shop, monkeypatch, killed_at, number):
    places = {
        "prove": (pgbouncer_process, "prove"),
        "save": (publishing.store, "save"),
        "write": (publishing.pgbouncer_files, "write"),
        "reload": (pgbouncer_process, "reload"),
        "wait": (pgbouncer_process, "wait_until_served"),
    }
    old = shop.password
    session = dataplane.connect(shop.name, old)
    shop.change_password("fresh")
    item, calls = shop.item(), []
    dataplane.databases(item)
    module, function = places[killed_at]
    real = getattr(module, function)

    def die_at(*arguments):
        calls.append(arguments)
        if len(calls) == number:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(module, function, die_at)
    with pytest.raises(KeyboardInterrupt):
        dataplane.tenants(item)
    monkeypatch.undo()
    assert dataplane.tenants(item)[0]["error"] is None
    with pytest.raises(psycopg.OperationalError):
        session.execute("SELECT 1")
    assert refused(dataplane, shop.name, old)
    dataplane.connect(shop.name, "fresh").close()
    assert settled(dataplane, item)


def test_a_candidate_that_does_not_parse_is_refused_and_the_old_files_stay(dataplane, shop, tenants, monkeypatch):
    before = {path.name: path.read_text() for path in dataplane.config_dir.glob("*")}
    broken = tenants()
    real = publishing.pgbouncer_files.render
    monkeypatch.setattr(
        publishing.pgbouncer_files, "render", lambda *a: {**real(*a), "databases.ini": "[databases]\nx = nonsense\n"}
    )
    [result] = dataplane.tenants(broken.item())
    monkeypatch.undo()
    assert result["error"]["code"] == "candidate_refused"
    assert {path.name: path.read_text() for path in dataplane.config_dir.glob("*")} == before
    dataplane.connect(shop.name, shop.password).close()


def test_pgbouncer_that_is_down_is_retryable_and_not_called_active(dataplane, shop):
    process = dataplane.processes["pgbouncer"]
    process.terminate()
    process.wait(10)
    try:
        [result] = dataplane.tenants(shop.item())
        assert (result["error"]["code"], result["error"]["retryable"]) == ("pgbouncer_unavailable", True)
    finally:
        dataplane.restart_pgbouncer()
    assert dataplane.tenants(shop.item())[0]["error"] is None


def test_a_stale_generation_is_refused(dataplane, shop):
    old = shop.item(state="absent")
    dataplane.converge(shop.item())
    assert dataplane.tenants(old)[0]["error"]["code"] == "stale_generation"
    dataplane.connect(shop.name, shop.password).close()


def test_a_whole_batch_is_one_reload(dataplane, tenants):
    many = [tenants() for _ in range(10)]
    before = dataplane.log("pgbouncer").count("got SIGHUP")
    assert not [result for result in dataplane.converge(*(tenant.item() for tenant in many)) if result["error"]]
    assert dataplane.log("pgbouncer").count("got SIGHUP") == before + 1


def test_no_verifier_is_said(dataplane, shop):
    secret = verifier("another")
    assert secret not in str(dataplane.tenants(shop.item(verifier=secret)))
