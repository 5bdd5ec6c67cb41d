"""GET and PUT /databases/{id}/allowlist, and the commands for it."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result
from werkzeug.test import TestResponse

from tests.api.conftest import Caller, Make, problem
from tests.api.worker import ScriptedWorker
from webapp.cli.allowlist import allowlist
from webapp.cli.api_client import CONFLICT
from webapp.models import Database

OFFICE = {"cidr": "203.0.113.0/24", "label": "Office"}


def put(caller: Caller, database: Database, *entries: object, **options: Any) -> TestResponse:
    return caller.call("PUT", f"/api/v1/databases/{database.id}/allowlist", json={"data": list(entries)}, **options)


def test_it_works(alice: Caller, shop: Database, worker: ScriptedWorker) -> None:
    address = f"/api/v1/databases/{shop.id}/allowlist"
    assert alice.get(address).get_json() == {"data": [], "warnings": []}

    response = put(alice, shop, {"cidr": "2001:DB8::1"}, OFFICE)

    assert response.status_code == 200, response.get_data(as_text=True)
    wanted = {"data": [OFFICE, {"cidr": "2001:db8::1/128", "label": ""}], "warnings": []}
    assert response.get_json() == wanted
    seen = alice.get(address)
    assert seen.get_json() == wanted
    assert alice.get(address, headers={"If-None-Match": seen.headers["ETag"]}).status_code == 304
    assert put(alice, shop).get_json() == {"data": [], "warnings": []}


def test_everybody_is_a_warning(alice: Caller, shop: Database, worker: ScriptedWorker) -> None:
    warnings = put(alice, shop, {"cidr": "0.0.0.0/0"}, {"cidr": "::/0"}).get_json()["warnings"]
    assert ["0.0.0.0/0" in warnings[0], "::/0" in warnings[1]] == [True, True]


def test_it_does_not_wait_when_asked(alice: Caller, shop: Database) -> None:
    response = put(alice, shop, OFFICE, headers={"Prefer": "respond-async"})
    assert (response.status_code, response.get_json()["kind"]) == (202, "database.allowlist")
    assert response.headers["Location"] == f"/api/v1/operations/{response.get_json()['id']}"
    problem(put(alice, shop), 409, "OPERATION_IN_PROGRESS")


@pytest.mark.parametrize(
    ("entries", "field"),
    [
        ([OFFICE, {"cidr": "10.0.0.1/8"}], "data.1.cidr"),
        ([OFFICE, OFFICE], "data.1.cidr"),
        ([{**OFFICE, "label": "a\nb"}], "data.0.label"),
        ([{"label": "x"}], "data.0.cidr"),
        ([{**OFFICE, "note": "x"}], "data.0.note"),
        ([{"cidr": f"10.0.0.{number}"} for number in range(101)], "data"),
        (["10.0.0.0/8"], "data.0"),
    ],
)
def test_errors_name_the_entry(alice: Caller, shop: Database, entries: list[object], field: str) -> None:
    body = problem(put(alice, shop, *entries), 400, "VALIDATION_ERROR")
    assert list(body["errors"]) == [field]
    assert alice.get(f"/api/v1/databases/{shop.id}/allowlist").get_json()["data"] == []


def test_refusals(alice: Caller, bob: Caller, shop: Database, make_database: Make) -> None:
    problem(put(bob, shop, OFFICE), 404, "DATABASE_NOT_FOUND")
    problem(bob.get(f"/api/v1/databases/{shop.id}/allowlist"), 404, "DATABASE_NOT_FOUND")
    going = make_database(alice, "going", status="creating")
    problem(put(alice, going, OFFICE), 409, "OPERATION_IN_PROGRESS")


def run(*words: str) -> Result:
    return CliRunner().invoke(allowlist, list(words))


def test_the_commands(logged_in: str, shop: Database, worker: ScriptedWorker) -> None:
    empty = run("list", "shop")
    assert (empty.exit_code, empty.stdout) == (0, "")
    assert "Open to every network" in empty.stderr
    assert run("add", "shop", "203.0.113.0/24", "--label", "Office").exit_code == 0
    added = run("add", "shop", "0.0.0.0/0")
    assert "Warning: The list lets every IPv4 address connect" in added.stderr
    assert added.stdout.splitlines() == ["NETWORK         LABEL", "0.0.0.0/0", "203.0.113.0/24  Office"]
    removed = run("remove", str(shop.id), "0.0.0.0/0", "--json")
    assert json.loads(removed.stdout) == {"data": [OFFICE], "warnings": []}
    wrong = run("add", "shop", "10.0.0.1/8")
    assert wrong.exit_code == 1
    assert "Write 10.0.0.0/8" in wrong.stderr
    assert run("remove", "shop", "10.0.0.0/8").exit_code == 1
    assert json.loads(run("list", "shop", "--json").stdout)["data"] == [OFFICE]


def test_the_commands_tell_a_conflict(logged_in: str, alice: Caller, shop: Database) -> None:
    put(alice, shop, headers={"Prefer": "respond-async"})
    assert run("add", "shop", "10.0.0.0/8").exit_code == CONFLICT
