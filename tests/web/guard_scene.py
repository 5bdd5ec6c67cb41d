"""Who asks and what there is, for the table of pages: Alice's `shop` with a team, and one of everything in it."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support import rows
from tests.web.conftest import Browser
from webapp.models import AuthSession, Database, Difference, Identity, Member, Operation, Passkey
from webapp.services import api_keys, invitations, members, webhooks
from webapp.services.actors import SYSTEM, Actor
from webapp.services.vault import vault

COOKIES = ("dbhost_session_8000", "dbhost_form_8000")
LEVELS = ("admin", "developer", "viewer")


@dataclass
class Scene:
    """Everybody's cookies and CSRF token, and the ids that addresses and forms need."""

    app: Flask
    people: dict[str, Browser]
    tokens: dict[str, str]
    values: dict[str, Any]

    def browser(self, person: str) -> FlaskClient:
        """A browser with this person's cookies as they were at first: no request changes the next one's."""
        fresh = self.app.test_client()
        for name in COOKIES:
            if cookie := self.people[person].client.get_cookie(name):
                fresh.set_cookie(name, cookie.value)
        if person == "full key":
            fresh.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {self.values['key']}"
        return fresh


def make_scene(
    session: Session, shop: Database, signed_in: Callable[..., Browser], alice: Browser, bob: Browser, root: Browser,
    anonymous: Browser,
) -> Scene:  # fmt: skip
    """Everybody signed in lately, the banned one before the ban, and an admin who looks as Alice."""
    team = {level: signed_in(f"{level}-member") for level in LEVELS}
    colleague, looking, banned = signed_in("colleague"), signed_in("looking", admin=True), signed_in("banned")
    for level, browser in {**team, "colleague": colleague}.items():
        add(session, shop, browser, "developer" if level == "colleague" else level)
    values = things(session, shop, alice, colleague)
    app = anonymous.client.application
    people = {
        "owner": alice, **team, "stranger": bob, "platform admin": root, "looking": looking, "banned": banned,
        "anonymous": anonymous, "full key": Browser(app.test_client()),
    }  # fmt: skip
    assert alice.user is not None
    assert looking.post(f"/admin/users/{alice.user.id}/view").status_code == 303
    tokens = {person: browser.token() for person, browser in people.items()}
    session.execute(text("UPDATE users SET state = 'banned' WHERE email LIKE 'banned%'"))
    session.commit()
    return Scene(app, people, tokens, values)


def add(session: Session, shop: Database, browser: Browser, level: str) -> None:
    """A member with a role of their own."""
    assert browser.user is not None
    member = members.add_member(session, SYSTEM, shop, browser.user.email, level)
    session.flush()
    sealed = vault().encrypt("a password", str(member.id)) if level == "admin" else None
    values = {"id": member.id, "role": f"shop.{uuid.uuid4().hex[:8]}", "sealed": sealed}
    made = "INSERT INTO member_credentials (id, member_id, role, verifier, password_encrypted)"
    session.execute(text(f"{made} VALUES (:id, :id, :role, 'x', :sealed)"), values)


def things(session: Session, shop: Database, alice: Browser, colleague: Browser) -> dict[str, Any]:
    """One of each thing that an address names."""
    assert alice.user is not None
    assert colleague.user is not None
    shop = session.merge(shop)
    operation = session.query(Operation).filter_by(database_id=shop.id).one()
    shop.applied_generation = shop.generation
    backup = rows.make_backup(session, shop)
    made = api_keys.create_key(session, SYSTEM, alice.user, label="mine")
    identity = Identity(id=uuid.uuid4(), user_id=alice.user.id, issuer="https://id.example.com", subject="1")
    passkey = Passkey(
        id=uuid.uuid4(), user_id=alice.user.id, credential_id=b"c", public_key=b"p", sign_count=0, label="Mine"
    )
    difference = Difference(
        id=uuid.uuid4(), host_id=shop.host_id, database_id=shop.id, kind="database", subject="shop",
        sentences=["ALTER ROLE"], repairable=True,
    )  # fmt: skip
    session.add_all([identity, passkey, difference])
    endpoint = rows.make_endpoint(session, alice.user, "backup.failed")
    [delivery] = webhooks.queue(session, [endpoint], "backup.failed", {})
    rows.make_host(session, "db2")
    invitation, _mail = invitations.invite(session, Actor("user", alice.user), shop, "bob@example.com", "viewer")
    session.commit()
    auth_session = session.query(AuthSession).filter_by(user_id=alice.user.id).first()
    member = session.query(Member).filter_by(user_id=colleague.user.id).one()
    assert auth_session is not None
    return {
        "database_id": shop.id, "operation_id": operation.id, "filename": backup.filename, "member_id": member.id,
        "user_id": colleague.user.id, "key_id": made.api_key.id, "key": made.secret, "session_id": auth_session.id,
        "identity_id": identity.id, "passkey_id": passkey.id, "difference_id": difference.id,
        "invitation_id": invitation.id, "name": "local", "change": "drain", "email": colleague.user.email,
        "endpoint_id": endpoint.id, "delivery_id": delivery.id,
    }  # fmt: skip
