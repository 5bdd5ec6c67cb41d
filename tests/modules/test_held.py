"""`held_as`: the name is free at once, the data stays aside for its last backup, and can be brought back as it was."""

import secrets
import uuid

import psycopg
import pytest

from tests.support import dumps
from tests.support.dataplane import PROVISIONER, verifier


@pytest.fixture
def aside(dataplane):
    """A name to keep something under; whatever is there in the end is dropped."""
    name = f"dbhost-held-{secrets.token_hex(8)}"
    yield name
    assert dataplane.converge({"name": name, "state": "absent"})[0]["error"] is None


def filled(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as connection:
        connection.execute("CREATE TABLE goods AS SELECT generate_series(1, 10) AS id")


def names(dataplane, like):
    """Databases and roles whose names begin so."""
    with dataplane.local(PROVISIONER) as connection:
        query = (
            "SELECT datname::text FROM pg_database WHERE starts_with(datname, %(like)s)"
            " UNION ALL SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, %(like)s) ORDER BY 1"
        )
        return [row[0] for row in connection.execute(query, {"like": like}).fetchall()]


def test_the_name_is_free_and_only_a_dump_gets_in(dataplane, shop, aside):
    filled(dataplane, shop)
    item = shop.item(state="absent", held_as=aside)
    predicted = dataplane.converge(item, check=True)
    client = dataplane.connect(shop.name, shop.password)
    [gone] = dataplane.converge(item)
    assert gone["error"] is None
    assert predicted[0]["changes"] == gone["changes"]
    with pytest.raises(psycopg.Error):
        client.execute("SELECT 1")
    assert (names(dataplane, shop.name), names(dataplane, aside)) == ([], [aside, aside])
    for name in (shop.name, aside):
        with pytest.raises(psycopg.OperationalError):
            dataplane.connect(name, shop.password)
    assert dataplane.converge(item)[0]["changes"] == []
    assert dumps.back_up(dataplane, dumps.wanted(aside))["manifest"]["rows"] == 10
    [fresh] = dataplane.converge(shop.item())
    assert fresh["error"] is None
    with dataplane.connect(shop.name, shop.password) as connection:
        assert connection.execute("SELECT to_regclass('goods')").fetchone() == (None,)
    dataplane.converge({"name": aside, "state": "absent"})
    assert names(dataplane, aside) == []


def test_it_comes_back_as_it_was_with_its_members(dataplane, shop, aside):
    filled(dataplane, shop)
    members = [
        {"role": f"{shop.name}.{mark * 8}", "level": level, "verifier": verifier(f"pw-{mark}")}
        for mark, level in (("a", "developer"), ("b", "viewer"))
    ]
    dataplane.converge(shop.item(members=members))
    dataplane.converge(shop.item(state="absent", held_as=aside))
    assert names(dataplane, shop.name) == []
    back = shop.item(members=members, held_as=aside)
    [returned] = dataplane.converge(back)
    assert returned["error"] is None
    assert names(dataplane, aside) == []
    for role, password in ((shop.name, shop.password), (members[0]["role"], "pw-a"), (members[1]["role"], "pw-b")):
        with dataplane.connect(role, password, shop.name) as connection:
            assert connection.execute("SELECT count(*) FROM goods").fetchone() == (10,)
    assert dataplane.converge(back)[0]["changes"] == []


def test_a_stopped_one_is_kept_open_for_dumps(dataplane, shop, aside):
    filled(dataplane, shop)
    dataplane.converge(shop.item(state="stopped"))
    assert dataplane.converge(shop.item(state="absent", held_as=aside))[0]["error"] is None
    assert dumps.back_up(dataplane, dumps.wanted(aside))["manifest"]["rows"] == 10


def test_what_is_kept_already_is_never_overwritten(dataplane, tenants, aside):
    first, second = tenants(), tenants()
    dataplane.converge(first.item(), second.item())
    dataplane.converge(first.item(state="absent", held_as=aside))
    [refused] = dataplane.converge(second.item(state="absent", held_as=aside))
    assert refused["error"]["code"] == "held_already"
    assert len(names(dataplane, second.name)) == 2


@pytest.mark.parametrize("held_as", ["dbhost-control", "shop", "dbhost-held-", "dbhost-held-ABCDEF0123456789"])
def test_only_names_that_no_tenant_can_have_are_kept_under(dataplane, shop, held_as):
    assert dataplane.converge(shop.item(state="absent", held_as=held_as))[0]["error"]["code"] == "invalid_item"


def test_several_are_dumped_in_one_job_each_with_its_own_result(dataplane, tenants):
    shops = [tenants() for _ in range(3)]
    dataplane.converge(*(shop.item() for shop in shops))
    filled(dataplane, shops[0])
    with dataplane.connect(shops[1].name, shops[1].password) as connection:
        connection.execute("CREATE TABLE closed (id int); REVOKE ALL ON closed FROM CURRENT_USER")
    listed = [dumps.wanted(name) for name in [*(shop.name for shop in shops), f"dbhost-held-{uuid.uuid4().hex[:16]}"]]
    found = dumps.back_up_all(dataplane, listed)
    told = [(one["name"], one["error"] and one["error"]["code"]) for one in found["backups"]]
    assert told == [
        (shops[0].name, None),
        (shops[1].name, "not_readable"),
        (shops[2].name, None),
        (listed[3].name, "no_database"),
    ]
    assert found["backups"][0]["manifest"]["rows"] == 10
    assert found["error"]["code"] == "not_all"
