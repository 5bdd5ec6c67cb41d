"""Users, sign-in sessions and API keys."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.services.conftest import make_actor
from webapp.models import Database, User
from webapp.services import access, api_keys, auth_sessions, databases, users
from webapp.services.actors import SYSTEM, Actor
from webapp.services.errors import (
    ApiNotInPlan,
    Conflict,
    DatabaseNotFound,
    KeyScopeDenied,
    NotFound,
    SignInFailed,
    Unauthorized,
    ValidationFailed,
)

PASSWORD = "correct horse battery"


def sign_in(session: Session, email: str = "alice@example.com", password: str = PASSWORD) -> auth_sessions.SignedIn:
    user = auth_sessions.check_password(session, email, password)
    return auth_sessions.start(session, user, ip="192.0.2.1", user_agent="Test")


def test_sign_in_works_whatever_the_case_of_the_email(session: Session, alice: Actor) -> None:
    signed_in = sign_in(session, "Alice@Example.com")
    session.commit()

    found = auth_sessions.find(session, signed_in.token)

    assert found is not None
    assert found.user == alice.user
    assert signed_in.token.encode() not in found.token_hash


@pytest.mark.parametrize(("email", "password"), [("alice@example.com", "wrong"), ("nobody@example.com", PASSWORD)])
def test_sign_in_says_the_same_of_every_failure(session: Session, alice: Actor, email: str, password: str) -> None:
    with pytest.raises(SignInFailed, match=r"^The e-mail or the password is wrong\.$"):
        sign_in(session, email, password)


def test_a_banned_user_is_out_at_once(session: Session, alice: Actor) -> None:
    signed_in = sign_in(session)
    user = alice.user
    assert user is not None
    secret = api_keys.create_key(session, alice, user).secret
    user.state = "banned"
    session.flush()

    assert auth_sessions.find(session, signed_in.token) is None
    with pytest.raises(SignInFailed):
        sign_in(session)
    with pytest.raises(Unauthorized):
        api_keys.authenticate(session, secret, ip=None)


def test_revoked_and_expired_sessions_are_dead(session: Session, alice: Actor) -> None:
    first, second, third = sign_in(session), sign_in(session), sign_in(session)
    first.auth_session.expires_at = datetime.now(UTC) - timedelta(seconds=1)
    auth_sessions.revoke(session, alice, second.auth_session.id)

    assert [auth_sessions.find(session, each.token) is None for each in (first, second, third)] == [True, True, False]
    auth_sessions.revoke_others(session, alice, first.auth_session)
    session.refresh(third.auth_session)
    assert auth_sessions.find(session, third.token) is None


def test_nobody_revokes_another_users_session(session: Session, alice: Actor, bob: Actor) -> None:
    signed_in = sign_in(session)

    with pytest.raises(NotFound):
        auth_sessions.revoke(session, bob, signed_in.auth_session.id)


def test_an_email_is_one_user(session: Session, alice: Actor) -> None:
    with pytest.raises(Conflict):
        users.create_user(session, SYSTEM, "ALICE@example.com", PASSWORD)


@pytest.mark.parametrize(
    ("email", "password"), [("no-at-sign", PASSWORD), ("a@b@c", PASSWORD), ("x@example.com", "short")]
)
def test_bad_users_are_refused(session: Session, email: str, password: str) -> None:
    with pytest.raises(ValidationFailed):
        users.create_user(session, SYSTEM, email, password)


def test_the_first_admin_is_made_once(session: Session) -> None:
    first = users.ensure_admin(session, SYSTEM, "admin@localhost", None)
    second = users.ensure_admin(session, SYSTEM, "admin@localhost", "another password")

    assert (first.created, second.created, second.password) == (True, False, None)
    assert sign_in(session, "admin@localhost", first.password or "").auth_session.user.is_admin


def test_an_api_key_is_stored_as_prefix_and_hash(session: Session, alice: Actor) -> None:
    assert alice.user is not None
    made = api_keys.create_key(session, alice, alice.user, label="CI")
    session.commit()

    assert made.secret.startswith("dbh_")
    assert api_keys.authenticate(session, made.secret, ip="192.0.2.9").id == made.api_key.id
    assert made.api_key.last_used_ip == "192.0.2.9"
    row = session.execute(text("SELECT to_jsonb(k)::text FROM api_keys k")).scalar_one()
    assert made.secret not in row


@pytest.mark.parametrize("wrong", ["", "dbh_", "dbh_aaaaaaaaaaaaaaaaaaaaaaaa", "{prefix}", "{prefix}wrong"])
def test_a_wrong_key_is_refused(session: Session, alice: Actor, wrong: str) -> None:
    assert alice.user is not None
    made = api_keys.create_key(session, alice, alice.user)

    with pytest.raises(Unauthorized):
        api_keys.authenticate(session, wrong.format(prefix=made.api_key.prefix), ip=None)


def test_replace_ends_the_old_key_and_keeps_its_scope(session: Session, alice: Actor, shop: Database) -> None:
    assert alice.user is not None
    old = api_keys.create_key(session, alice, alice.user, label="CI", scope="selected", databases=["shop"])
    new = api_keys.replace_key(session, alice, old.api_key.id)
    session.commit()

    assert (new.api_key.label, new.api_key.scope, new.api_key.database_ids) == ("CI", "selected", {shop.id})
    with pytest.raises(Unauthorized):
        api_keys.authenticate(session, old.secret, ip=None)


def test_a_plan_without_api_has_no_keys(session: Session, host: object) -> None:
    carol = make_actor(session, "carol@example.com", plan="free")
    assert carol.user is not None

    with pytest.raises(ApiNotInPlan):
        api_keys.create_key(session, carol, carol.user)


def test_a_selected_key_sees_its_databases_alone(session: Session, alice: Actor, shop: Database) -> None:
    assert alice.user is not None
    other = databases.create_database(session, alice, databases.DatabaseSpec("Other", "other")).database
    key = api_keys.create_key(session, alice, alice.user, scope="selected", databases=["shop"]).api_key
    actor = Actor("api_key", alice.user, key)

    assert [database.name for database in databases.list_databases(session, actor).items] == ["shop"]
    assert access.require(session, actor, shop.id, "own") is shop
    with pytest.raises(DatabaseNotFound):
        access.require(session, actor, other.id, "view")
    with pytest.raises(KeyScopeDenied):
        access.require_full_account(actor)


def test_a_selected_key_cannot_name_anothers_database(session: Session, bob: Actor, shop: Database) -> None:
    assert bob.user is not None

    with pytest.raises(ValidationFailed, match="list of databases"):
        api_keys.create_key(session, bob, bob.user, scope="selected", databases=["shop"])


@pytest.mark.parametrize(
    "statement", ["UPDATE audit_events SET subject = 'x'", "DELETE FROM audit_events", "TRUNCATE audit_events"]
)
def test_the_audit_log_is_append_only(session: Session, alice: Actor, statement: str) -> None:
    session.commit()

    with pytest.raises(DBAPIError, match=r"append-only|audit"):
        session.execute(text(statement))


def test_a_platform_admin_sees_all_but_no_credentials(session: Session, alice: Actor, shop: Database) -> None:
    admin = Actor("user", User(id=None, email="a@x", platform_role="admin", plan="pro"))

    assert access.allows(admin, shop, "view")
    assert access.allows(admin, shop, "operate")
    assert not access.allows(admin, shop, "credentials")
