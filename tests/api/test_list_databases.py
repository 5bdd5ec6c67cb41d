"""GET /databases."""

from tests.api.conftest import Caller, Make, problem
from webapp.models import Database

PATH = "/api/v1/databases"


def test_it_works(alice: Caller, make_database: Make) -> None:
    for name in ("one", "two", "three"):
        make_database(alice, name)
    response = alice.get(PATH)
    assert response.status_code == 200
    body = response.get_json()
    assert [row["name"] for row in body["data"]] == ["three", "two", "one"]
    assert list(body["data"][0]) == ["id", "name", "displayName", "status", "sizeBytes", "createdAt"]
    assert body["data"][0]["createdAt"].endswith("Z")
    assert body["pagination"] == {"page": 1, "limit": 20, "total": 3}


def test_pages_are_linked(alice: Caller, make_database: Make) -> None:
    for number in range(5):
        make_database(alice, f"db-{number}")
    response = alice.get(f"{PATH}?page=2&limit=2&search=db")
    assert [row["name"] for row in response.get_json()["data"]] == ["db-2", "db-1"]
    assert response.get_json()["pagination"] == {"page": 2, "limit": 2, "total": 5}
    links = dict(reversed(part.split("; rel=")) for part in response.headers["Link"].split(", "))
    assert links['"next"'] == f"<{PATH}?page=3&limit=2&search=db>"
    assert links['"prev"'] == f"<{PATH}?page=1&limit=2&search=db>"
    assert links['"last"'] == f"<{PATH}?page=3&limit=2&search=db>"
    beyond = alice.get(f"{PATH}?page=9&limit=2")
    assert beyond.get_json()["data"] == []
    assert 'rel="next"' not in beyond.headers["Link"]


def test_search_and_status(alice: Caller, make_database: Make) -> None:
    make_database(alice, "shop")
    make_database(alice, "blog", status="stopped")
    assert [row["name"] for row in alice.get(f"{PATH}?search=SHO").get_json()["data"]] == ["shop"]
    assert [row["name"] for row in alice.get(f"{PATH}?status=stopped").get_json()["data"]] == ["blog"]
    assert alice.get(f"{PATH}?search=%25").get_json()["data"] == []


def test_each_sees_their_own(
    bob: Caller, charlie: Caller, admin: Caller, shop: Database, alice: Caller, make_database: Make
) -> None:
    make_database(alice, "blog")
    assert bob.get(PATH).get_json()["data"] == []
    assert [row["name"] for row in charlie.get(PATH).get_json()["data"]] == ["shop"]
    assert {row["name"] for row in admin.get(PATH).get_json()["data"]} == {"shop", "blog"}


def test_unchanged_pages_are_not_sent_again(alice: Caller, shop: Database) -> None:
    first = alice.get(PATH)
    assert first.headers["Cache-Control"] == "private, no-cache"
    again = alice.get(PATH, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.data == b""


def test_wrong_queries(alice: Caller) -> None:
    wrong = {
        "page=0": "page", "page=-1": "page", "page=1.0": "page", "page=+1": "page", "page=one": "page",
        "page=1_0": "page", "page=9999999": "page", "page=99999999999999999999": "page", "page=": "page",
        "limit=0": "limit", "limit=101": "limit", "limit=٣": "limit", "status=gone": "status",
        "search=%00": "search", "limit=5&sort=name": "sort",
    }  # fmt: skip
    for query, field in wrong.items():
        assert list(problem(alice.get(f"{PATH}?{query}"), 400, "VALIDATION_ERROR")["errors"]) == [field]


def test_a_search_that_is_too_long_is_told_so(alice: Caller) -> None:
    errors = problem(alice.get(f"{PATH}?search={'x' * 101}"), 400, "VALIDATION_ERROR")["errors"]
    assert errors == {"search": ["String should have at most 100 characters"]}
