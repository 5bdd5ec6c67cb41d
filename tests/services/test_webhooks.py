"""Who is told of an event, and that it stands or falls with what happened."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.support.rows import make_endpoint
from webapp.models import Database, Host, User, WebhookDelivery, WebhookEndpoint
from webapp.services import webhooks
from webapp.services.actors import Actor


def add_endpoint(session: Session, user: User | None, *events: str, **values: Any) -> WebhookEndpoint:
    assert user is not None
    return make_endpoint(session, user, *events, **values)


def queued(session: Session) -> list[WebhookDelivery]:
    return list(session.scalars(select(WebhookDelivery)))


def test_a_database_s_event_goes_to_the_owner_s_endpoints_that_want_it(
    session: Session, alice: Actor, bob: Actor, shop: Database
) -> None:
    wanted = add_endpoint(session, alice.user, "backup.failed", "database.created")
    add_endpoint(session, alice.user, "database.deleted")
    add_endpoint(session, alice.user, "backup.failed", state="disabled")
    add_endpoint(session, bob.user, "backup.failed")
    assert webhooks.publish(session, "backup.failed", database=shop, details={"filename": "x.sql.gz"}) == 1
    [delivery] = queued(session)
    assert delivery.endpoint_id == wanted.id
    assert delivery.state == "queued"
    assert delivery.payload["type"] == "backup.failed"
    about = {"id": str(shop.id), "name": "shop", "displayName": "Shop"}
    assert delivery.payload["data"] == {"database": about, "filename": "x.sql.gz"}


def test_a_host_s_event_goes_to_platform_admins(session: Session, alice: Actor, bob: Actor, host: Host) -> None:
    assert bob.user is not None
    bob.user.platform_role = "admin"
    add_endpoint(session, alice.user, "host.unhealthy")
    of_admin = add_endpoint(session, bob.user, "host.unhealthy")
    assert webhooks.publish(session, "host.unhealthy", host=host, details={"problems": ["offline"]}) == 1
    assert [delivery.endpoint_id for delivery in queued(session)] == [of_admin.id]


def test_a_banned_user_is_told_nothing(session: Session, alice: Actor, shop: Database) -> None:
    add_endpoint(session, alice.user, "backup.failed")
    assert alice.user is not None
    alice.user.state = "banned"
    assert webhooks.publish(session, "backup.failed", database=shop) == 0


def test_an_event_that_was_rolled_back_was_never_told(session: Session, alice: Actor, shop: Database) -> None:
    add_endpoint(session, alice.user, "backup.failed")
    session.commit()
    webhooks.publish(session, "backup.failed", database=shop)
    session.rollback()
    assert queued(session) == []


def test_an_unknown_event_is_a_mistake(session: Session, shop: Database) -> None:
    with pytest.raises(ValueError, match="no event"):
        webhooks.publish(session, "backup.fialed", database=shop)
