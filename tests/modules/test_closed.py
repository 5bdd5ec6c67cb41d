"""`state: closed`: clients are cut and shut out, and a dump still gets in, so that it is the last word."""

import psycopg
import pytest

from tests.support import dumps


def test_clients_are_out_and_a_dump_gets_in(dataplane, shop):
    client = dataplane.connect(shop.name, shop.password)
    client.execute("CREATE TABLE goods AS SELECT generate_series(1, 10) AS id")
    direct = dataplane.direct(shop.name, shop.password)
    item = shop.item(state="closed")
    predicted = dataplane.converge(item, check=True)
    [closed] = dataplane.converge(item)
    assert closed["error"] is None
    assert predicted[0]["changes"] == closed["changes"]
    for session in (client, direct):
        with pytest.raises(psycopg.Error):
            session.execute("INSERT INTO goods VALUES (11)")
        session.close()
    with pytest.raises(psycopg.OperationalError):
        dataplane.connect(shop.name, shop.password)
    assert dumps.back_up(dataplane, dumps.wanted(shop.name))["manifest"]["rows"] == 10
    assert dataplane.converge(item)[0]["changes"] == []
    [opened] = dataplane.converge(shop.item())
    assert opened["error"] is None
    dataplane.connect(shop.name, shop.password).close()


def test_a_stopped_database_is_opened_for_dumps_alone(dataplane, shop):
    dataplane.converge(shop.item(state="stopped"))
    assert dataplane.converge(shop.item(state="closed"))[0]["error"] is None
    assert dumps.back_up(dataplane, dumps.wanted(shop.name))["manifest"]["tables"] == 0
    with pytest.raises(psycopg.OperationalError):
        dataplane.connect(shop.name, shop.password)


def test_a_closed_one_is_dropped_or_stopped_like_any_other(dataplane, shop):
    dataplane.converge(shop.item(state="closed"))
    assert dataplane.converge(shop.item(state="stopped"))[0]["error"] is None
    dataplane.converge(shop.item(state="closed"))
    assert dataplane.converge(shop.item(state="absent"))[0]["error"] is None
