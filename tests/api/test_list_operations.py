"""GET /operations."""

from tests.api.conftest import Caller, Make, problem
from webapp.models import Database, Operation

PATH = "/api/v1/operations"


def test_it_works(alice: Caller, shop: Database, queued: Operation) -> None:
    response = alice.get(PATH)
    assert response.status_code == 200
    body = response.get_json()
    assert body["pagination"] == {"page": 1, "limit": 20, "total": 2}
    assert [row["kind"] for row in body["data"]] == ["database.stop", "database.create"]
    assert body["data"][0]["id"] == str(queued.id)
    assert body["data"][0]["databaseId"] == str(shop.id)


def test_filters(alice: Caller, shop: Database, queued: Operation, make_database: Make) -> None:
    blog = make_database(alice, "blog")
    assert [row["id"] for row in alice.get(f"{PATH}?state=queued").get_json()["data"]] == [str(queued.id)]
    of_blog = alice.get(f"{PATH}?databaseId={blog.id}").get_json()["data"]
    assert [row["database"] for row in of_blog] == ["blog"]
    for query in ("state=done", "databaseId=shop", "limit=0", "kind=x"):
        problem(alice.get(f"{PATH}?{query}"), 400, "VALIDATION_ERROR")


def test_each_sees_their_own(
    alice: Caller, bob: Caller, charlie: Caller, admin: Caller, queued: Operation, make_database: Make
) -> None:
    make_database(alice, "blog")
    assert bob.get(PATH).get_json()["pagination"]["total"] == 0
    assert {row["database"] for row in charlie.get(PATH).get_json()["data"]} == {"shop"}
    assert admin.get(PATH).get_json()["pagination"]["total"] == 3
