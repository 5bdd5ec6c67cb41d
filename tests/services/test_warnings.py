"""Who is warned of a full database or of a host that is not well: once for each crossing, and not for each report."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session, sessionmaker

from tests.support.rows import make_endpoint
from webapp.models import Database, Host, QueuedMail, WebhookDelivery
from webapp.services import host_warnings, plans, storage_warnings
from webapp.services.actors import Actor
from webapp.services.host_warnings import CONFIRMED_AFTER, WELL_AFTER
from webapp.services.storage_warnings import next_warned

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("warned", "percent", "expected"),
    [
        (0, 79.9, 0), (0, 80, 80), (0, 94.9, 80), (0, 95, 95), (0, 300, 95), (80, 80, 80), (80, 95, 95),
        (80, 76, 80), (80, 74.9, 0), (95, 94, 95), (95, 90, 95), (95, 89.9, 80), (95, 76, 80), (95, 10, 0),
    ],
)  # fmt: skip
def test_what_was_warned_of_is_forgotten_only_well_below(warned: int, percent: float, expected: int) -> None:
    assert next_warned(warned, percent) == expected


def report(session: Session, shop: Database, percent: float) -> int:
    shop.size_bytes = int(plans.all_plans()["pro"].storage_bytes * percent / 100) + 1
    session.commit()
    told = storage_warnings.tell(session, shop.host_id)
    session.commit()
    return told


def test_the_owner_is_warned_once_for_each_crossing(session: Session, alice: Actor, shop: Database) -> None:
    assert alice.user is not None
    make_endpoint(session, alice.user, "storage.warning")
    reports = (50, 80, 81, 79, 80, 96, 94, 95, 60, 85)
    assert [report(session, shop, percent) for percent in reports] == [0, 1, 0, 0, 0, 1, 0, 0, 0, 1]
    sent = session.scalars(select(WebhookDelivery).order_by(WebhookDelivery.created_at)).unique().all()
    assert [delivery.payload["data"]["percent"] for delivery in sent] == [80, 95, 80]
    assert sent[0].payload["data"]["database"]["name"] == "shop"
    subjects = list(session.scalars(select(QueuedMail.subject).order_by(QueuedMail.created_at)))
    assert subjects == [f"shop has reached {percent} % of its storage" for percent in (80, 95, 80)]
    assert set(session.scalars(select(QueuedMail.recipient))) == {"alice@example.com"}


def test_a_banned_owner_is_not_written_to(session: Session, alice: Actor, shop: Database) -> None:
    assert alice.user is not None
    alice.user.state = "banned"
    assert report(session, shop, 96) == 1
    assert session.scalar(select(QueuedMail.id)) is None


def test_one_that_is_locked_is_left_to_the_next_report(
    control_sessions: sessionmaker[Session], session: Session, shop: Database
) -> None:
    shop.size_bytes = plans.all_plans()["pro"].storage_bytes
    session.commit()
    with control_sessions() as other:
        other.execute(text("SELECT FROM databases FOR UPDATE"))
        assert storage_warnings.tell(session, shop.host_id) == 0
    session.commit()
    assert storage_warnings.tell(session, shop.host_id) == 1


def test_admins_are_told_of_a_host_once_it_stays_unwell(session: Session, alice: Actor, bob: Actor, host: Host) -> None:
    assert bob.user is not None
    bob.user.platform_role = "admin"
    make_endpoint(session, bob.user, "host.unhealthy")
    soon, later = NOW + timedelta(seconds=90), NOW + CONFIRMED_AFTER
    bad = ["postgres: away"]
    assert not host_warnings.look(session, host, bad, NOW)
    assert not host_warnings.look(session, host, bad, soon)
    assert host_warnings.look(session, host, bad, later)
    assert not host_warnings.look(session, host, ["other: away"], later + timedelta(hours=1))
    session.commit()
    [delivery] = session.scalars(select(WebhookDelivery)).unique()
    assert delivery.payload["data"] == {"host": {"id": str(host.id), "name": "db1"}, "problems": bad}
    [mail] = session.scalars(select(QueuedMail))
    assert mail.recipient == "bob@example.com"
    assert "postgres: away" in mail.text


def test_one_that_comes_and_goes_is_told_of_once(session: Session, host: Host) -> None:
    bad, at = ["postgres: away"], NOW
    host_warnings.look(session, host, bad, at)
    at += CONFIRMED_AFTER
    assert host_warnings.look(session, host, bad, at)
    for _ in range(5):
        host_warnings.look(session, host, [], at + timedelta(minutes=5))
        at += timedelta(minutes=6)
        assert not host_warnings.look(session, host, bad, at)
    host_warnings.look(session, host, [], at)
    host_warnings.look(session, host, [], at + WELL_AFTER)
    assert host.unhealthy_since is None
    host_warnings.look(session, host, bad, at + WELL_AFTER)
    assert host_warnings.look(session, host, bad, at + WELL_AFTER + CONFIRMED_AFTER)


def test_a_short_trouble_is_no_news(session: Session, host: Host) -> None:
    host_warnings.look(session, host, ["postgres: away"], NOW)
    host_warnings.look(session, host, [], NOW + timedelta(seconds=60))
    assert not host_warnings.look(session, host, ["postgres: away"], NOW + CONFIRMED_AFTER)


@pytest.mark.parametrize(("state", "expected"), [("active", 1), ("offline", 0)])
def test_hosts_are_looked_at_as_health_sees_them(session: Session, host: Host, state: str, expected: int) -> None:
    host.state = state
    host.created_at = datetime.now(UTC) - timedelta(days=1)  # and never a report since
    host.unhealthy_since = datetime.now(UTC) - CONFIRMED_AFTER
    session.commit()
    assert host_warnings.tell(session) == expected
