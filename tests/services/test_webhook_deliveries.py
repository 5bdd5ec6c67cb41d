"""Who is sent to next, how tries are counted, when one is given up, and two secrets at once."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session, sessionmaker
from standardwebhooks import Webhook, WebhookVerificationError

from tests.support.rows import make_endpoint
from webapp.gateways.outgoing import Answer
from webapp.models import AuditEvent, Database, QueuedMail, WebhookAttempt, WebhookDelivery, WebhookEndpoint
from webapp.services import webhook_deliveries, webhook_secrets, webhooks
from webapp.services.actors import Actor
from webapp.services.webhook_deliveries import PAUSES_S, Parcel
from webapp.services.webhooks import TEST_EVENT

WELL = Answer(204, None, 12)
DOWN = Answer(None, "The connection was refused.", 3)
GONE = Answer(410, "Answered 410.", 3)


def add(session: Session, actor: Actor, count: int = 1, secret: str | None = None) -> WebhookEndpoint:
    """An endpoint of *actor* with that many messages."""
    assert actor.user is not None
    endpoint = make_endpoint(session, actor.user, "backup.failed")
    endpoint.secret_encrypted = webhook_secrets.seal(endpoint.id, secret or webhook_secrets.new_secret())
    for number in range(count):
        webhooks.queue(session, [endpoint], "backup.failed", {"number": number})
        session.commit()
    session.commit()
    return endpoint


def take(session: Session) -> Parcel | None:
    parcel = webhook_deliveries.take(session)
    session.commit()
    return parcel


def taken(session: Session) -> Parcel:
    parcel = take(session)
    assert parcel is not None
    return parcel


def finish(session: Session, parcel: Parcel, answer: Answer) -> bool:
    kept = webhook_deliveries.finish(session, parcel, answer)
    session.commit()
    return kept


def now_due(session: Session) -> None:
    """As if all pauses were over."""
    session.execute(text("UPDATE webhook_deliveries SET next_attempt_at = now()"))
    session.execute(text("UPDATE webhook_endpoints SET rests_until = NULL, leased_until = NULL"))
    session.commit()


def states(session: Session) -> list[str]:
    session.expire_all()
    return list(session.scalars(select(WebhookDelivery.state).order_by(WebhookDelivery.created_at)))


def test_a_message_is_signed_and_its_success_ends_it(session: Session, alice: Actor) -> None:
    secret = webhook_secrets.new_secret()
    add(session, alice, secret=secret)
    parcel = taken(session)
    headers = parcel.headers()
    assert headers["webhook-id"] == parcel.message_id
    assert Webhook(secret).verify(parcel.body.decode(), headers)["data"] == {"number": 0}
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(parcel.body.decode() + " ", headers)
    assert finish(session, parcel, WELL)
    assert states(session) == ["succeeded"]
    [attempt] = session.scalars(select(WebhookAttempt))
    assert (attempt.number, attempt.status_code, attempt.took_ms) == (1, 204, 12)
    assert take(session) is None


def test_an_endpoint_gets_one_message_at_a_time_the_oldest_first(session: Session, alice: Actor) -> None:
    add(session, alice, 2)
    first = taken(session)
    assert b'"number":0' in first.body
    assert take(session) is None
    finish(session, first, WELL)
    assert b'"number":1' in taken(session).body


def test_one_user_s_endpoints_do_not_take_every_turn(session: Session, alice: Actor, bob: Actor) -> None:
    of_alice = {add(session, alice).id for _ in range(4)}
    of_bob = add(session, bob).id
    sent_to = [taken(session).endpoint_id for _ in range(3)]
    assert take(session) is None
    assert len(of_alice & set(sent_to)) == 2
    assert of_bob in sent_to


def test_what_was_cut_off_is_sent_again_and_its_late_end_counts_for_nothing(session: Session, alice: Actor) -> None:
    add(session, alice)
    cut_off = taken(session)
    assert take(session) is None
    session.execute(text("UPDATE webhook_endpoints SET leased_until = now() - interval '1 second'"))
    session.commit()
    again = taken(session)
    assert (again.message_id, again.attempt) == (cut_off.message_id, 2)
    assert not finish(session, cut_off, DOWN)
    assert finish(session, again, WELL)
    assert states(session) == ["succeeded"]


def test_two_couriers_never_take_the_same(
    control_sessions: sessionmaker[Session], session: Session, alice: Actor
) -> None:
    add(session, alice)
    with control_sessions() as other:
        assert webhook_deliveries.take(other) is not None
        session.execute(text("SET LOCAL lock_timeout = '200ms'"))
        with pytest.raises(Exception, match="lock timeout"):
            webhook_deliveries.take(session)
        session.rollback()
        other.commit()
    assert take(session) is None


def test_pauses_grow_for_more_than_a_day_and_differ() -> None:
    assert list(PAUSES_S) == sorted(PAUSES_S)
    assert timedelta(days=1) < timedelta(seconds=sum(PAUSES_S)) < timedelta(days=3)
    drawn = {webhook_deliveries.pause_s(5) for _ in range(20)}
    assert len(drawn) > 1
    assert all(PAUSES_S[4] <= pause <= PAUSES_S[4] * 1.1 for pause in drawn)


def test_a_failure_is_tried_again_later_and_the_endpoint_rests(session: Session, alice: Actor) -> None:
    endpoint = add(session, alice, 2)
    finish(session, taken(session), DOWN)
    assert take(session) is None
    session.refresh(endpoint)
    assert (endpoint.failures, endpoint.leased_until) == (1, None)
    now_due(session)
    assert taken(session).attempt == 2


def test_an_endpoint_that_takes_nothing_for_a_day_is_disabled_and_its_owner_told(
    session: Session, alice: Actor
) -> None:
    endpoint = add(session, alice, 2)
    for number in range(1, len(PAUSES_S) + 2):
        parcel = taken(session)
        assert parcel.attempt == number
        if number == len(PAUSES_S) + 1:
            session.execute(text("UPDATE webhook_endpoints SET failing_since = now() - interval '25 hours'"))
        finish(session, parcel, DOWN)
        later = text("UPDATE webhook_deliveries SET next_attempt_at = now() + interval '1 day' WHERE id <> :id")
        now_due(session)
        session.execute(later, {"id": parcel.delivery_id})
        session.commit()
    session.refresh(endpoint)
    assert (endpoint.state, endpoint.disabled_reason) == ("disabled", "The connection was refused.")
    assert states(session) == ["failed", "queued"]
    [mail] = session.scalars(select(QueuedMail))
    assert mail.recipient == "alice@example.com"
    assert endpoint.url in mail.text
    assert session.scalar(select(AuditEvent.action).where(AuditEvent.subject == endpoint.url)) == "webhook.disable"
    now_due(session)
    assert take(session) is None
    webhook_deliveries.resume(session, endpoint)
    assert b'"number":1' in taken(session).body


def test_one_message_that_is_never_taken_disables_nothing(session: Session, alice: Actor) -> None:
    endpoint = add(session, alice)
    session.execute(text("UPDATE webhook_deliveries SET attempt = :begun"), {"begun": len(PAUSES_S)})
    session.commit()
    finish(session, taken(session), Answer(400, "Answered 400.", 3))
    session.refresh(endpoint)
    assert (states(session), endpoint.state) == (["failed"], "active")


def test_an_endpoint_that_says_it_is_gone_is_disabled_at_once(session: Session, alice: Actor) -> None:
    endpoint = add(session, alice)
    finish(session, taken(session), GONE)
    session.refresh(endpoint)
    assert (states(session), endpoint.state) == (["failed"], "disabled")


def test_a_test_event_is_tried_once(session: Session, alice: Actor) -> None:
    endpoint = add(session, alice, 0)
    webhooks.queue(session, [endpoint], TEST_EVENT, {})
    session.commit()
    finish(session, taken(session), DOWN)
    session.refresh(endpoint)
    assert (states(session), endpoint.state) == (["failed"], "active")


def test_while_a_secret_is_rotated_both_sign(session: Session, alice: Actor) -> None:
    old = webhook_secrets.new_secret()
    endpoint = add(session, alice, secret=old)
    new = webhook_secrets.rotate(endpoint, keep_old=True)
    session.commit()
    parcel = taken(session)
    for secret in (old, new):
        Webhook(secret).verify(parcel.body.decode(), parcel.headers())
    later = datetime.now(UTC) + webhook_secrets.OVERLAP
    assert webhook_secrets.opened(endpoint, later) == [new]
    webhook_secrets.rotate(endpoint, keep_old=False)
    assert new not in webhook_secrets.opened(endpoint, datetime.now(UTC))


def test_a_secret_that_does_not_open_is_that_endpoint_s_trouble_alone(
    session: Session, alice: Actor, bob: Actor
) -> None:
    broken = add(session, alice)
    broken.secret_encrypted = b"sealed by a key that is gone"
    session.commit()
    add(session, bob)
    parcels = {parcel.endpoint_id: parcel for parcel in (taken(session), taken(session))}
    assert parcels[broken.id].secrets == []
    assert all(parcel.secrets for key, parcel in parcels.items() if key != broken.id)


def test_the_log_is_kept_for_a_time(session: Session, alice: Actor, shop: Database) -> None:
    add(session, alice, 2)
    finish(session, taken(session), WELL)
    session.execute(text("UPDATE webhook_deliveries SET created_at = now() - interval '31 days'"))
    webhook_deliveries.forget(session)
    assert states(session) == ["queued"]
    assert list(session.scalars(select(WebhookAttempt))) == []
