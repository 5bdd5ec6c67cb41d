"""Members and what each level may do. Alice owns, Bob is invited, Charlie must never see it."""

import uuid

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.services.conftest import make_actor
from webapp.models import AuditEvent, Database
from webapp.services import access, databases, members, operations, users
from webapp.services.actors import SYSTEM, Actor
from webapp.services.errors import Conflict, DatabaseNotFound, MemberNotFound, NotFound, ValidationFailed

MAY = {
    "admin": {
        "view",
        "member",
        "credentials",
        "operate",
        "reset_password",
        "list_backups",
        "download_backups",
        "clone",
    },
    "developer": {"view", "member", "credentials", "list_backups", "download_backups"},
    "viewer": {"view", "member"},
}


@pytest.mark.parametrize("level", MAY)
def test_it_works(session: Session, alice: Actor, bob: Actor, shop: Database, level: str) -> None:
    member = members.add_member(session, alice, shop, " BOB@example.com ", level)
    session.commit()
    session.expire_all()

    assert [(each.user.email, each.level) for each in members.list_members(session, shop)] == [(bob.label, level)]
    assert {permission for permission in access.PERMISSIONS if access.allows(bob, shop, permission)} == MAY[level]
    assert [each.id for each in databases.list_databases(session, bob).items] == [shop.id]
    assert operations.list_operations(session, bob).total == 1
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "member.add")).one()
    assert (event.database_id, event.details) == (shop.id, {"member": member.user.email, "level": level})


def test_access_ends_with_the_membership(session: Session, alice: Actor, bob: Actor, shop: Database) -> None:
    member = members.add_member(session, alice, shop, "bob@example.com", "admin")
    session.commit()

    members.remove_member(session, alice, shop, member.id)
    session.commit()
    session.expire_all()

    with pytest.raises(DatabaseNotFound):
        access.require(session, bob, shop.id, "view")
    assert databases.list_databases(session, bob).total == 0


def test_a_level_changes_at_once(session: Session, alice: Actor, bob: Actor, shop: Database) -> None:
    member = members.add_member(session, alice, shop, "bob@example.com", "admin")
    session.commit()

    members.change_level(session, alice, shop, member.id, "viewer")
    session.commit()
    session.expire_all()

    assert not access.allows(bob, shop, "operate")
    event = session.scalars(select(AuditEvent).where(AuditEvent.action == "member.change_level")).one()
    assert event.details == {"member": "bob@example.com", "level": "viewer", "before": "admin"}


def test_anybody_may_leave_and_only_who_operates_removes_others(
    session: Session, alice: Actor, bob: Actor, shop: Database
) -> None:
    make_actor(session, "dora@example.com")
    his = members.add_member(session, alice, shop, "bob@example.com", "viewer")
    hers = members.add_member(session, alice, shop, "dora@example.com", "admin")
    session.commit()

    with pytest.raises(DatabaseNotFound):
        members.remove_member(session, bob, shop, hers.id)
    members.remove_member(session, bob, shop, his.id)
    session.commit()

    assert [member.id for member in members.list_members(session, shop)] == [hers.id]
    assert "member.leave" in session.scalars(select(AuditEvent.action)).all()


def test_membership_is_of_one_database(session: Session, alice: Actor, bob: Actor, shop: Database) -> None:
    blog = databases.create_database(session, alice, databases.DatabaseSpec("Blog", "blog")).database
    member = members.add_member(session, alice, shop, "bob@example.com", "admin")
    session.commit()

    assert not access.allows(bob, blog, "view")
    for ask in (members.remove_member, lambda *given: members.change_level(*given, "viewer")):
        with pytest.raises(MemberNotFound):
            ask(session, alice, blog, member.id)


def test_a_platform_admin_keeps_what_they_may_as_a_viewer(session: Session, alice: Actor, shop: Database) -> None:
    user = users.create_user(session, SYSTEM, "root@example.com", admin=True)
    members.add_member(session, alice, shop, user.email, "viewer")
    session.commit()

    assert access.allows(Actor("user", user), shop, "operate")
    assert not access.allows(Actor("user", user), shop, "credentials")


def test_refusals(session: Session, alice: Actor, bob: Actor, shop: Database) -> None:
    with pytest.raises(NotFound, match="no user"):
        members.add_member(session, alice, shop, "nobody@example.com", "viewer")
    with pytest.raises(Conflict, match="owns"):
        members.add_member(session, alice, shop, "alice@example.com", "viewer")
    with pytest.raises(ValidationFailed):
        members.add_member(session, alice, shop, "bob@example.com", "owner")
    members.add_member(session, alice, shop, "bob@example.com", "viewer")
    with pytest.raises(Conflict, match="already"):
        members.add_member(session, alice, shop, "bob@example.com", "admin")
    with pytest.raises(MemberNotFound):
        members.change_level(session, alice, shop, uuid.uuid4(), "admin")
