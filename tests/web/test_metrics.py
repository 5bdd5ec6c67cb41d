"""The metrics on a database's page: plots that a screen reader can read too."""

import re
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from tests.support.reports import database_report, keep, make_report
from tests.web.conftest import Browser
from webapp.models import Database
from webapp.services import metrics, plans
from webapp.services.metrics import Metrics, Point
from webapp.web import plots

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
STEP = timedelta(minutes=1)


def made(*minutes_ago: int, **values: float) -> Metrics:
    defaults = {"size_bytes": 1024, "clients_active": 1, "clients_waiting": 1}
    defaults |= {"transactions_per_s": 2.0, "cache_hit_ratio": 0.5, **values}
    series = [Point(at=NOW - timedelta(minutes=ago), **defaults) for ago in minutes_ago]  # type: ignore[arg-type]
    return Metrics(1024, 1, 1, None, NOW, STEP, series)


def test_each_kind_is_drawn_and_told() -> None:
    found = {plot.name: plot for plot in plots.plots(made(3, 2, 1), HOUR, NOW)}
    assert list(found) == ["size", "clients", "transactions", "cache"]
    told = {name: plot.latest for name, plot in found.items()}
    assert told == {"size": "1.0 KB", "clients": "2", "transactions": "2/s", "cache": "50.0%"}
    assert found["size"].summary == "1.0 KB all the time."
    assert found["size"].line.count("M") == 1
    assert found["cache"].line != found["size"].line  # half of its scale, not all of it


def test_a_gap_in_the_reports_is_a_gap_in_the_line() -> None:
    [size, *_] = plots.plots(made(30, 29, 28, 3, 2, 1), HOUR, NOW)
    assert size.line.count("M") == size.area.count("Z") == 2


def test_what_is_drawn_stays_inside() -> None:
    [size, *_] = plots.plots(made(90, 60, 0, size_bytes=0), HOUR, NOW)
    numbers = [tuple(map(float, spot.split())) for spot in re.findall(r"[\d.]+ [\d.]+", size.line)]
    assert all(0 <= x <= plots.WIDTH + 2 and 0 <= y <= plots.HEIGHT for x, y in numbers)


def test_nothing_known_draws_nothing() -> None:
    [_, _, rate, _] = plots.plots(made(1, transactions_per_s=None), HOUR, NOW)  # type: ignore[arg-type]
    assert (rate.line, rate.area, rate.latest) == ("", "", "-")


def test_the_page_offers_every_range() -> None:
    assert list(plots.RANGES) == list(metrics.RANGES)


def test_the_page(alice: Browser, shop: Database, session: Session) -> None:
    page = alice.page(f"/databases/{shop.id}")
    assert "The host has not reported on this database yet." in page
    keep(session, shop.host, make_report(database_report(shop.name, size_bytes=1)))
    keep(session, shop.host, make_report(database_report(shop.name, size_bytes=5_000_000, transactions=99)))
    page = alice.page(f"/databases/{shop.id}?range=week")
    assert 'aria-label="Size, last week"' in page
    assert "4.8 MB all the time." in page
    assert page.count('<svg viewBox="0 0 320 72"') == 4
    assert re.search(r'range=week[^>]+aria-current="true">Week', page)
    assert "style=" not in page
    assert "4.8 MB" in alice.page("/databases")


def test_an_unknown_range_is_a_day(alice: Browser, shop: Database) -> None:
    page = alice.page(f"/databases/{shop.id}?range=%22century")
    assert re.search(r'range=day[^>]+aria-current="true">Day', page)


def test_the_page_warns_before_the_storage_is_used_up(alice: Browser, shop: Database, session: Session) -> None:
    limit = plans.all_plans()["business"].storage_bytes
    said = {0.5: None, 0.81: "Storage is filling up", 0.96: "Storage is almost used up", 1.1: "Over the storage limit"}
    for share, sentence in said.items():
        keep(session, shop.host, make_report(database_report(shop.name, size_bytes=round(limit * share))))
        page = alice.page(f"/databases/{shop.id}")
        assert {title for title in said.values() if title and title in page} == ({sentence} if sentence else set())
    assert "2.2 GB of 2.0 GB" in page
