"""Webhooks and mails on their real way: to a server, past one that is dead, and once more after a crash."""

import json
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select, text
from sqlalchemy.orm import Session, sessionmaker
from standardwebhooks import Webhook

from tests.support.cluster import Cluster
from tests.support.receiver import Receiver, receiving
from tests.support.relay import Relay
from tests.support.rows import make_endpoint
from tests.support.servers import wait_for
from webapp import courier as couriers
from webapp.config import Settings
from webapp.courier import Courier
from webapp.db import make_engine, make_sessions
from webapp.gateways.mail import Mail
from webapp.models import Database, QueuedMail, WebhookDelivery, WebhookEndpoint
from webapp.services import outbox, webhook_deliveries, webhook_secrets, webhooks
from webapp.services.actors import Actor
from webapp.services.notices import Notices

Start = Callable[..., Courier]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def start(control_url: str, control_sessions: sessionmaker[Session], tmp_path: Path) -> Iterator[Start]:
    """Start a courier with these settings, perhaps with a way of its own to the database; all end with the test."""
    running: list[tuple[Courier, Notices]] = []
    engines: list[Engine] = []

    def begin(url: str | None = None, **values: Any) -> Courier:
        config = Settings(home=tmp_path, **({"webhooks_allow_private": True} | values))
        notices = Notices(url or control_url)
        if url:
            engines.append(make_engine(url))
        courier = Courier(config, make_sessions(engines[-1]) if url else control_sessions, notices)
        courier.start()
        running.append((courier, notices))
        return courier

    yield begin
    for courier, notices in running:
        courier.close()
        notices.close()
    for engine in engines:
        engine.dispose()


def add(session: Session, actor: Actor, url: str, secret: str | None = None) -> WebhookEndpoint:
    assert actor.user is not None
    endpoint = make_endpoint(session, actor.user, "backup.failed", url=url)
    endpoint.secret_encrypted = webhook_secrets.seal(endpoint.id, secret or webhook_secrets.new_secret())
    session.commit()
    return endpoint


def until(session: Session, holds: Callable[[], bool]) -> None:
    """Wait for what the courier writes after the answer."""

    def look() -> None:
        session.rollback()
        assert holds()

    wait_for(look, AssertionError)


def states(session: Session) -> set[str]:
    return set(session.scalars(select(WebhookDelivery.state)))


def test_an_event_arrives_signed(
    session: Session, alice: Actor, shop: Database, receiver: Receiver, start: Start
) -> None:
    start()
    secret = webhook_secrets.new_secret()
    add(session, alice, receiver.url(), secret)
    webhooks.publish(session, "backup.failed", database=shop, details={"message": "Grüße"})
    session.commit()
    [got] = receiver.wait(1)
    Webhook(secret).verify(got.body, got.headers)
    assert json.loads(got.body)["data"] == {
        "database": {"id": str(shop.id), "name": "shop", "displayName": "Shop"}, "message": "Grüße",
    }  # fmt: skip
    assert got.headers["content-type"] == "application/json"
    until(session, lambda: states(session) == {"succeeded"})


def test_a_dead_endpoint_keeps_nobody_waiting(
    session: Session, alice: Actor, bob: Actor, receiver: Receiver, start: Start
) -> None:
    with receiving() as dead:
        dead.hold.clear()
        stuck = [add(session, alice, dead.url(f"/{number}")) for number in range(4)]
        well = add(session, bob, receiver.url())
        for number in range(5):
            webhooks.queue(session, [*stuck, well], "backup.failed", {"number": number})
        session.commit()
        start()
        start()
        receiver.wait(5)
        assert dead.most_at_once <= webhook_deliveries.USERS_SHARE
        assert receiver.most_at_once == 1
        dead.hold.set()


def test_a_courier_that_died_loses_nothing(session: Session, alice: Actor, receiver: Receiver, start: Start) -> None:
    endpoint = add(session, alice, receiver.url())
    webhooks.queue(session, [endpoint], "backup.failed", {})
    session.commit()
    parcel = webhook_deliveries.take(session)  # and then no more of that courier
    session.commit()
    assert parcel is not None
    session.execute(text("UPDATE webhook_endpoints SET leased_until = now() - interval '1 second'"))
    session.commit()
    start()
    [got] = receiver.wait(1)
    assert got.headers["webhook-id"] == parcel.message_id


def test_without_the_setting_nothing_is_sent_inside(
    session: Session, alice: Actor, receiver: Receiver, start: Start
) -> None:
    start(webhooks_allow_private=False)
    endpoint = add(session, alice, f"https://127.0.0.1:{receiver.port}/")
    webhooks.queue(session, [endpoint], "backup.failed", {})
    session.commit()
    until(session, lambda: session.scalar(select(WebhookDelivery.error)) is not None)
    assert session.scalar(select(WebhookDelivery.error)) == "Use port 443 or 8443."
    assert receiver.got == []


def test_a_queued_mail_is_sent_once_its_transaction_is_committed(
    session: Session, start: Start, tmp_path: Path
) -> None:
    start()
    outbox.queue(session, Mail("alice@example.com", "Never", "asked for"))
    session.rollback()
    outbox.queue(session, Mail("alice@example.com", "A notice", "Look at it."))
    session.commit()
    until(session, lambda: session.scalar(select(QueuedMail.id)) is None)
    [file] = (tmp_path / "outbox").glob("*.eml")
    assert message_from_bytes(file.read_bytes(), policy=policy.default)["Subject"] == "A notice"


def test_a_mail_server_that_is_away_is_asked_again(session: Session, start: Start) -> None:
    start(smtp_url="smtp://127.0.0.1:1")
    outbox.queue(session, Mail("alice@example.com", "A notice", "Look at it."))
    session.commit()
    later = text(
        "SELECT attempt = 1 AND next_attempt_at BETWEEN now() AND now() + interval '1 minute' FROM queued_mails"
    )
    until(session, lambda: bool(session.scalar(later)))


def test_a_mail_that_lets_somebody_in_is_kept_encrypted(session: Session, start: Start, tmp_path: Path) -> None:
    outbox.post(session, Mail("alice@example.com", "A link", "https://db.example.com/x?token=secret"))
    session.commit()
    assert "secret" not in str(session.execute(text("SELECT * FROM queued_mails")).all())
    start()
    until(session, lambda: session.scalar(select(QueuedMail.id)) is None)
    [file] = (tmp_path / "outbox").glob("*.eml")
    assert "token=secret" in message_from_bytes(file.read_bytes(), policy=policy.default).get_content()  # type: ignore[attr-defined]


def test_one_odd_mail_holds_up_no_other(session: Session, start: Start, tmp_path: Path) -> None:
    outbox.queue(session, Mail("alice@example.com\nBcc: bob@example.com", "Odd", "Look at it."))
    session.commit()
    outbox.queue(session, Mail("alice@example.com", "A notice", "Look at it."))
    session.commit()
    start()
    until(session, lambda: list(session.scalars(select(QueuedMail.subject))) == ["Odd"])
    assert len(list((tmp_path / "outbox").glob("*.eml"))) == 1


def test_an_outage_takes_no_thread_for_good(
    session: Session, alice: Actor, shop: Database, receiver: Receiver, start: Start, cluster: Cluster,
    control_url: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(couriers, "LOOK_EVERY_S", 0.05)
    failures: list[Any] = []
    monkeypatch.setattr(couriers.log, "warning", lambda *_words, **fields: failures.append(fields))
    add(session, alice, receiver.url())
    with Relay(cluster.folder) as relay:
        start(relay.url(control_url))
        relay.cut()
        until(session, lambda: len(failures) > 3 * couriers.AT_ONCE)
        relay.open()
        webhooks.publish(session, "backup.failed", database=shop, details={"message": "x"})
        outbox.queue(session, Mail("alice@example.com", "A notice", "Look at it."))
        session.commit()
        receiver.wait(1)
        until(session, lambda: session.scalar(select(QueuedMail.id)) is None)
