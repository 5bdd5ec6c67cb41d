"""Members' own roles in the desired state: made, shown once, ended."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from agent_modules.module_utils.dbhost.members import is_member_role
from webapp.models import Database, Member, MemberCredential, Operation
from webapp.services import databases, member_credentials, members, operations
from webapp.services.actors import SYSTEM, Actor
from webapp.services.errors import Conflict, DatabaseNotActive, DatabaseNotFound, NotFound, OperationInProgress
from webapp.worker import desired


def done(session: Session) -> list[str]:
    """End what was queued, as a worker that converged it; which kinds that were."""
    queued = session.scalars(select(Operation).where(Operation.state == "queued")).all()
    for operation in queued:
        operation.state = "succeeded"
        operation.database.applied_generation = operation.generation
    session.commit()
    return [operation.kind for operation in queued]


@pytest.fixture
def team(session: Session, bob: Actor, shop: Database) -> Member:
    """Bob, a developer of Alice's shop."""
    assert bob.user is not None
    member = members.add_member(session, SYSTEM, shop, bob.user.email, "developer")
    session.commit()
    session.refresh(shop, ["members"])
    done(session)
    return member


def sent(session: Session, database: Database) -> list[dict[str, str]]:
    session.expire_all()
    listed: list[dict[str, str]] = desired.tenant_database(database)["members"]
    return listed


def test_it_works(session: Session, bob: Actor, shop: Database, team: Member) -> None:
    assert member_credentials.make(session, bob, shop).kind == "database.members"
    session.commit()
    [role] = sent(session, shop)
    assert is_member_role(role["role"], "shop")
    assert (role["level"], role["verifier"].startswith("SCRAM-SHA-256$")) == ("developer", True)
    with pytest.raises(OperationInProgress):
        member_credentials.take(session, bob, shop)
    done(session)
    shown = member_credentials.take(session, bob, shop)
    assert (shown.username, shown.database) == (role["role"], "shop")
    assert shown.connection_string.startswith(f"postgresql://{role['role']}:{shown.password}@")
    session.commit()
    with pytest.raises(NotFound, match="shown already"):
        member_credentials.take(session, bob, shop)


def test_again_makes_a_new_password_for_the_same_role(
    session: Session, bob: Actor, shop: Database, team: Member
) -> None:
    member_credentials.make(session, bob, shop)
    session.commit()
    [before] = sent(session, shop)
    done(session)
    member_credentials.make(session, bob, shop)
    session.commit()
    [after] = sent(session, shop)
    assert before["role"] == after["role"]
    assert before["verifier"] != after["verifier"]


@pytest.mark.parametrize("way", ["give up", "revoke", "remove", "leave", "viewer"])
def test_how_they_end(session: Session, alice: Actor, bob: Actor, shop: Database, team: Member, way: str) -> None:
    member_credentials.make(session, bob, shop)
    session.commit()
    done(session)
    if way == "give up":
        member_credentials.give_up(session, bob, shop)
    elif way == "revoke":
        member_credentials.revoke(session, alice, shop, team)
    elif way == "viewer":
        members.change_level(session, alice, shop, team.id, "viewer")
    else:
        members.remove_member(session, alice if way == "remove" else bob, shop, team.id)
    session.commit()
    assert sent(session, shop) == []
    assert session.scalars(select(MemberCredential)).all() == []
    assert done(session) == ["database.members"]


def test_from_developer_to_admin_they_stay(
    session: Session, alice: Actor, bob: Actor, shop: Database, team: Member
) -> None:
    member_credentials.make(session, bob, shop)
    session.commit()
    done(session)
    members.change_level(session, alice, shop, team.id, "admin")
    session.commit()
    assert [role["level"] for role in sent(session, shop)] == ["admin"]
    assert done(session) == []


def test_a_membership_ends_though_the_database_is_busy(
    session: Session, alice: Actor, bob: Actor, shop: Database, team: Member
) -> None:
    member_credentials.make(session, bob, shop)
    session.commit()
    done(session)
    databases.restart_database(session, alice, shop)
    session.commit()
    members.remove_member(session, alice, shop, team.id)
    session.commit()
    assert sent(session, shop) == []
    assert member_credentials.queue_changed(session) == 0
    session.commit()
    assert done(session) == ["database.restart"]
    assert member_credentials.queue_changed(session) == 1
    session.commit()
    assert done(session) == ["database.members"]
    assert member_credentials.queue_changed(session) == 0


def test_what_is_refused(session: Session, alice: Actor, bob: Actor, shop: Database, team: Member) -> None:
    with pytest.raises(NotFound, match="no credentials of your own"):
        member_credentials.give_up(session, bob, shop)
    with pytest.raises(NotFound, match="has no credentials"):
        member_credentials.revoke(session, alice, shop, team)
    with pytest.raises(DatabaseNotFound):
        member_credentials.make(session, alice, shop)
    operation = member_credentials.make(session, bob, shop)
    with pytest.raises(Conflict, match="cannot be cancelled"):
        operations.cancel_operation(session, alice, operation.id)
    done(session)
    shop.status = "stopped"
    session.commit()
    with pytest.raises(DatabaseNotActive):
        member_credentials.make(session, bob, shop)
