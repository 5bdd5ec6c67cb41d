"""`dbhost auth` and `dbhost databases` against the API on a real port."""

import json
import stat
import threading

import pytest
from flask import Flask

from tests.api.commands import run
from tests.api.conftest import Caller, Make
from tests.api.worker import ScriptedWorker
from webapp.cli import api_client
from webapp.models import Database


def test_it_works(logged_in: str, worker: ScriptedWorker) -> None:
    made = run("databases", "create", "shop", "--display-name", "My shop")
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("postgresql://shop:")
    assert made.stdout.count("\n") == 1
    assert "Created shop" in made.stderr
    listed = json.loads(run("databases", "list", "--json").stdout)
    assert [row["name"] for row in listed] == ["shop"]
    assert "My shop" in run("databases", "list").stdout
    assert json.loads(run("databases", "stop", "shop", "--json").stdout)["status"] == "stopped"
    assert json.loads(run("databases", "start", listed[0]["id"], "--json").stdout)["status"] == "active"
    assert json.loads(run("databases", "restart", "shop", "--json").stdout)["status"] == "active"
    assert "New name" in run("databases", "rename", "shop", "New name").stdout
    assert "New name" in run("databases", "show", "shop").stdout
    assert len(run("databases", "reset-password", "shop").stdout.strip()) == 32
    assert json.loads(run("databases", "repair-ownership", "shop", "--json").stdout)["status"] == "repaired"
    deleted = run("databases", "delete", "shop", "--yes", "--json")
    assert json.loads(deleted.stdout) == {"deleted": "shop"}
    assert json.loads(run("databases", "list", "--json").stdout) == []


def test_the_key_is_for_its_owner_alone(logged_in: str, alice: Caller) -> None:
    path = api_client.credentials_file()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text())["apiKey"] == alice.key
    assert run("auth", "logout").exit_code == 0
    assert not path.exists()
    assert run("databases", "list").exit_code == api_client.DENIED


def test_a_wrong_key_is_not_kept(url: str) -> None:
    result = run("auth", "login", "--api-key", "dbh_wrong", "--api-url", url)
    assert result.exit_code == api_client.DENIED
    assert "UNAUTHORIZED" in result.stderr
    assert not api_client.credentials_file().exists()


def test_delete_asks_first(logged_in: str, shop: Database, worker: ScriptedWorker) -> None:
    assert run("databases", "delete", "shop", typed="n\n").exit_code == 1
    assert json.loads(run("databases", "show", "shop", "--json").stdout)["status"] == "active"
    assert run("databases", "delete", "shop", typed="y\n").exit_code == 0


def test_more_than_a_page(logged_in: str, alice: Caller, make_database: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {f"db-{number}" for number in range(3)}
    for name in names:
        make_database(alice, name)
    monkeypatch.setattr(api_client, "PAGE", 2)
    assert {row["name"] for row in json.loads(run("databases", "list", "--json").stdout)} == names


def test_a_name_that_many_others_hold_is_found(
    logged_in: str, alice: Caller, make_database: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("shop", "shop-1", "shop-2", "shop-3"):  # the newest come first, so that the first page is not enough
        make_database(alice, name)
    monkeypatch.setattr(api_client, "PAGE", 2)
    assert "shop" in run("databases", "show", "shop").stdout.split()
    assert "There is no database sho." in run("databases", "show", "sho").output


def test_later_than_the_server_waits(
    url: str, app: Flask, logged_in: str, idle_worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.extensions["dbhost"].settings.wait_timeout_s = 0.05
    monkeypatch.setattr("webapp.cli.client.POLL_S", 0.05)
    timer = threading.Timer(0.5, idle_worker.play_once)
    timer.start()
    made = run("databases", "create", "shop", "--json")
    timer.join()
    assert json.loads(made.stdout)["password"]


def test_failed_on_the_host(
    app: Flask, logged_in: str, worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.outcome = lambda _operation: "failed"
    result = run("databases", "create", "shop")
    assert result.exit_code == api_client.FAILED
    assert "The disk is full." in result.stderr
    app.extensions["dbhost"].settings.wait_timeout_s = 0.01
    followed = run("databases", "create", "blog")
    assert followed.exit_code == api_client.FAILED
    assert "The disk is full." in followed.stderr


def test_exit_codes(logged_in: str, shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("databases", "show", "nothing").exit_code == api_client.NOT_FOUND
    assert run("databases", "create", "shop").exit_code == api_client.CONFLICT
    refused = run("databases", "create", "UPPER")
    assert refused.exit_code == 1
    assert "name: Use 3 to 50 characters" in refused.stderr
    assert run("databases", "list", "--no-such-option").exit_code == 2
    monkeypatch.setenv("DBHOST_API_URL", "http://127.0.0.1:9")
    assert run("databases", "list").exit_code == api_client.AWAY
    monkeypatch.setenv("DBHOST_API_URL", "ftp://example.com")
    assert run("databases", "list").exit_code == 2
    api_client.credentials_file().write_text("{")
    assert "damaged" in run("databases", "list").stderr
