"""Every route of the API by everybody who may call it. A route without a row here fails, a forgotten check raises."""

import io
from collections.abc import Callable
from itertools import islice
from typing import Any

import pytest
from flask import Flask, g
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, Make
from webapp import http
from webapp.models import Backup, Database, Difference, Member, Operation
from webapp.services import api_keys, guards, members, users
from webapp.services.actors import SYSTEM

BLUEPRINTS = (
    "databases_api",
    "backups_api",
    "deletions_api",
    "moves_api",
    "allowlist_api",
    "members_api",
    "invitations_api",
    "own_invitations_api",
    "transfers_api",
    "member_credentials_api",
    "operations_api",
    "events_api",
    "health_api",
    "drift_api",
    "hosts_api",
    "webhooks_api",
    "probes",
    "api_docs",
    "stripe_events",
    "user_events",
)
LEVELS = ("admin", "developer", "viewer")
PARTS = 3  # for as many processes; all of it in one takes minutes on a busy machine
PEOPLE = ("owner", "selected", "elsewhere", "stranger", "platform admin", "banned", "anonymous", *LEVELS)
# What each of PEOPLE gets. `selected` is a key for this database, `elsewhere` one for another database of the owner's.
OWN = (202, 202, 404, 404, 404, 401, 401, 404, 404, 404)
RESET = (202, 202, 404, 404, 404, 401, 401, 202, 404, 404)
OPERATE = (202, 202, 404, 404, 202, 401, 401, 202, 404, 404)
AT_ONCE = (200, 200, 404, 404, 200, 401, 401, 200, 404, 404)
ADD = (201, 201, 404, 404, 201, 401, 401, 201, 404, 404)
REMOVE = (204, 204, 404, 404, 204, 401, 401, 204, 404, 404)
SEE = (200, 200, 404, 404, 200, 401, 401, 200, 200, 200)
LIST = (200, 200, 200, 200, 200, 401, 401, 200, 200, 200)
OWN_AT_ONCE = (200, 200, 404, 404, 404, 401, 401, 404, 404, 404)
LIST_BACKUPS = (200, 200, 404, 404, 200, 401, 401, 200, 200, 404)
DOWNLOAD = (200, 200, 404, 404, 404, 401, 401, 200, 200, 404)
CLONE = (202, 403, 404, 404, 404, 401, 401, 202, 404, 404)
PUBLIC = (200,) * 10
OFF = (404,) * 10
ADMIN = (404, 404, 404, 404, 200, 401, 401, 404, 404, 404)
ADMIN_QUEUES = (404, 404, 404, 404, 202, 401, 401, 404, 404, 404)
OWN_ACCOUNT = (200, 403, 403, 200, 200, 401, 401, 200, 200, 200)
OWN_ENDPOINT = (200, 403, 403, 404, 404, 401, 401, 404, 404, 404)
RULES: dict[str, tuple[int, ...]] = {
    "GET databases_api.index": LIST,
    "POST databases_api.create": (202, 403, 403, 202, 202, 401, 401, 202, 202, 202),
    "GET databases_api.show": SEE,
    "GET databases_api.show_metrics": SEE,
    "PATCH databases_api.change": AT_ONCE,
    "DELETE databases_api.delete": OWN,
    "POST databases_api.reset_password": RESET,
    "POST databases_api.reveal_credentials": DOWNLOAD,
    "POST databases_api.repair_ownership": OPERATE,
    "POST databases_api.start": OPERATE,
    "POST databases_api.stop": OPERATE,
    "POST databases_api.restart": OPERATE,
    "POST databases_api.clean_up": OPERATE,
    "GET backups_api.index": LIST_BACKUPS,
    "POST backups_api.create": OPERATE,
    "GET backups_api.download": DOWNLOAD,
    "DELETE backups_api.delete": OPERATE,
    "POST backups_api.restore": OPERATE,
    "POST backups_api.restore_upload": OPERATE,
    "GET deletions_api.index": LIST,
    "POST deletions_api.undelete": OWN,
    "POST deletions_api.clone": CLONE,
    "POST moves_api.move": ADMIN_QUEUES,
    "GET deletions_api.show_protection": SEE,
    "PUT deletions_api.protect": OWN_AT_ONCE,
    "GET deletions_api.show_schedule": LIST_BACKUPS,
    "PUT deletions_api.change_schedule": AT_ONCE,
    "GET allowlist_api.show": SEE,
    "PUT allowlist_api.replace": OPERATE,
    "GET members_api.index": SEE,
    "POST members_api.add": ADD,
    "PATCH members_api.change": AT_ONCE,
    "DELETE members_api.remove": REMOVE,
    "DELETE members_api.leave": (404, 404, 404, 404, 404, 401, 401, 204, 204, 204),
    "GET invitations_api.index": AT_ONCE,
    "POST invitations_api.create": ADD,
    "POST invitations_api.resend": AT_ONCE,
    "DELETE invitations_api.withdraw": REMOVE,
    "GET own_invitations_api.of_account": (200, 403, 403, 200, 200, 401, 401, 200, 200, 200),
    # The address that is invited is the stranger's.
    "POST own_invitations_api.accept": (404, 403, 403, 200, 404, 401, 401, 404, 404, 404),
    "POST own_invitations_api.decline": (404, 403, 403, 204, 404, 401, 401, 404, 404, 404),
    "GET transfers_api.show": OWN_AT_ONCE,
    "POST transfers_api.offer": (201, 403, 404, 404, 404, 401, 401, 404, 404, 404),
    "DELETE transfers_api.withdraw": (204, 403, 404, 404, 404, 401, 401, 404, 404, 404),
    "POST member_credentials_api.make": (404, 404, 404, 404, 404, 401, 401, 202, 202, 202),
    "DELETE member_credentials_api.give_up": (404, 404, 404, 404, 404, 401, 401, 204, 204, 204),
    "DELETE member_credentials_api.revoke": REMOVE,
    "GET operations_api.index": LIST,
    "GET operations_api.show": SEE,
    "POST operations_api.cancel": AT_ONCE,
    "POST operations_api.retry": OPERATE,
    "GET events_api.follow": SEE,
    "GET health_api.show": LIST,
    "GET drift_api.index": ADMIN,
    "POST drift_api.repair": ADMIN_QUEUES,
    "POST drift_api.ignore": ADMIN,
    "DELETE drift_api.notice": ADMIN,
    "GET hosts_api.index": ADMIN,
    "GET hosts_api.show": ADMIN,
    "PATCH hosts_api.change": ADMIN,
    "GET webhooks_api.index": OWN_ACCOUNT,
    "POST webhooks_api.create": (201, 403, 403, 201, 201, 401, 401, 201, 201, 201),
    "GET webhooks_api.show": OWN_ENDPOINT,
    "PATCH webhooks_api.change": OWN_ENDPOINT,
    "DELETE webhooks_api.delete": (204, *OWN_ENDPOINT[1:]),
    "POST webhooks_api.rotate_secret": OWN_ENDPOINT,
    "POST webhooks_api.test": (202, *OWN_ENDPOINT[1:]),
    "GET webhooks_api.deliveries": OWN_ENDPOINT,
    "GET webhooks_api.show_delivery": OWN_ENDPOINT,
    "POST webhooks_api.resend": (202, *OWN_ENDPOINT[1:]),
    "GET probes.alive": PUBLIC,
    "GET probes.ready": PUBLIC,
    "GET probes.metrics": PUBLIC,
    "GET api_docs.document": PUBLIC,
    "GET api_docs.show": PUBLIC,
    "POST stripe_events.take": OFF,
    "POST user_events.take": OFF,
}
BODIES: dict[str, Any] = {
    "databases_api.create": {"name": "fresh", "displayName": "Fresh"},
    "databases_api.change": {},
    "deletions_api.clone": {"name": "fresh", "displayName": "Fresh"},
    "deletions_api.undelete": {},
    "moves_api.move": {"host": "db2"},
    "deletions_api.protect": {"enabled": False},
    "deletions_api.change_schedule": {},
    "allowlist_api.replace": {"data": []},
    "members_api.add": {"email": "new@example.com", "role": "viewer"},
    "members_api.change": {"role": "viewer"},
    "invitations_api.create": {"email": "invited@example.com", "role": "viewer"},
    "transfers_api.offer": {"email": "heir@example.com"},
    "hosts_api.change": {"capacity": 5000},
    "webhooks_api.create": {"url": "https://example.com/hook", "events": ["backup.failed"]},
    "webhooks_api.change": {},
    "webhooks_api.rotate_secret": {},
}
# What makes the database fit for the call.
# A role for every member of the shop, whoever ended theirs before.
CREDENTIALS = (
    "INSERT INTO member_credentials (id, member_id, role, verifier)"
    " SELECT gen_random_uuid(), id, 'shop.' || left(md5(random()::text), 8), 'x' FROM members ON CONFLICT DO NOTHING"
)
INVITATION = (
    "DELETE FROM members WHERE user_id = (SELECT id FROM users WHERE email = 'bob@example.com');"
    "INSERT INTO invitations (id, database_id, email, level, token_hash, invited_by_id, sent_at, expires_at)"
    " SELECT '5dc7e0c5-0000-0000-0000-000000000000', id,"
    " 'bob@example.com', '{}', 'x', owner_id, now(), now() + '1 day'::interval"
    " FROM databases WHERE name = 'shop' ON CONFLICT DO NOTHING"
)
INVITED = "5dc7e0c5-0000-0000-0000-000000000000"
PREPARED = {
    "invitations_api.resend": INVITATION.format("viewer"),
    "invitations_api.withdraw": INVITATION.format("viewer"),
    "own_invitations_api.accept": INVITATION.format("viewer"),
    "own_invitations_api.decline": INVITATION.format("viewer"),
    "transfers_api.show": INVITATION.format("owner"),
    "transfers_api.withdraw": INVITATION.format("owner"),
    "deletions_api.undelete": "UPDATE databases SET deleted_at = now() WHERE name = 'shop'",
    "member_credentials_api.give_up": CREDENTIALS,
    "member_credentials_api.revoke": CREDENTIALS,
    "moves_api.move": "INSERT INTO hosts (id, name, public_host, pgbouncer_port)"
    " SELECT gen_random_uuid(), 'db2', 'db2.example.com', 6432 WHERE NOT EXISTS (SELECT FROM hosts WHERE name = 'db2')",
    "databases_api.clean_up": "UPDATE databases SET storage_state = 'shut';"
    "UPDATE operations SET created_at = now() - interval '2 days'",
}
# Alice's endpoint and a message to it, both under the operation's id, whatever became of the last ones.
ENDPOINT = """
    DELETE FROM webhook_endpoints;
    INSERT INTO webhook_endpoints (id, user_id, url, events, secret_encrypted)
        SELECT o.id, u.id, 'https://example.com/hook', '["backup.failed"]', 'sealed'
        FROM operations o, users u WHERE o.id = '{id}' AND u.email = 'alice@example.com';
    INSERT INTO webhook_deliveries (id, endpoint_id, message_id, event, payload)
        SELECT id, id, 'msg_1', 'backup.failed', '{}' FROM webhook_endpoints
"""
# The state that makes the operation fit for the call; every other call finds nothing under way.
STATES = {"operations_api.cancel": "queued", "operations_api.retry": "failed"}


def routes(app: Flask) -> dict[str, str]:
    """`METHOD endpoint` of each route of the API, with its address."""
    return {
        f"{method} {rule.endpoint}": rule.rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.partition(".")[0] in BLUEPRINTS
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


@pytest.fixture
def people(
    alice: Caller, bob: Caller, admin: Caller, charlie: Caller, nobody: Caller, enrol: Any, session: Session,
    make_database: Make, shop: Database,
) -> dict[str, Caller]:  # fmt: skip
    make_database(alice, "blog")
    assert alice.user is not None
    elsewhere = api_keys.create_key(
        session, SYSTEM, alice.user, label="elsewhere", scope="selected", databases=["blog"]
    )
    banned = enrol("banned")
    session.execute(text("UPDATE users SET state = 'banned' WHERE email LIKE 'banned%'"))
    session.commit()
    other = Caller(alice.client, elsewhere.secret)
    team = [enrol(f"{level}-member") for level in LEVELS]
    for member, level in zip(team, LEVELS, strict=True):
        members.add_member(session, SYSTEM, shop, member.user.email, level)
    enrol("new")
    session.commit()
    return dict(zip(PEOPLE, (alice, charlie, other, bob, admin, banned, nobody, *team), strict=True))


def test_every_route_has_a_rule(app: Flask) -> None:
    assert set(routes(app)) == set(RULES)


@pytest.mark.parametrize("part", range(PARTS))
def test_everybody_gets_what_the_rule_says(
    app: Flask,
    people: dict[str, Caller],
    shop: Database,
    queued: Operation,
    backup: Backup,
    session: Session,
    part: int,
) -> None:
    app.extensions["dbhost"].settings.change_rate = app.extensions["dbhost"].settings.sign_in_rate = "9999 per minute"
    app.extensions["dbhost"].settings.mail_rate = "9999 per minute"
    session.add(  # under the operation's id, so that an address leads to either
        Difference(id=queued.id, host_id=shop.host_id, database_id=shop.id, kind="database", subject="shop",
                   sentences=["ALTER ROLE"], repairable=True)
    )  # fmt: skip
    for route, address in islice(routes(app).items(), part, None, PARTS):
        method, _, endpoint = route.partition(" ")
        row_id = shop.id if address.startswith("/api/v1/databases") else queued.id
        for person, expected in zip(PEOPLE, RULES[route], strict=True):
            reset(session, queued, STATES.get(endpoint, "succeeded"))
            member = a_member(session, shop)
            session.execute(text(PREPARED.get(endpoint, "SELECT 1")))
            if address.startswith("/api/v1/webhooks"):
                session.execute(text(ENDPOINT.replace("{id}", str(queued.id))))
            session.commit()
            path = address.replace("<invitation_id>", INVITED)
            if address.startswith("/api/v1/invitations/"):
                path = path.replace("<id>", INVITED)
            path = path.replace("<id>", str(row_id)).replace("<member_id>", member).replace("<name>", "db1")
            path = path.replace("<delivery_id>", str(queued.id))
            response = people[person].call(
                method, path.replace("<filename>", backup.filename), headers={"Prefer": "respond-async"},
                **body(endpoint),
            )  # fmt: skip
            assert response.status_code == expected, f"{route} by {person}: {response.get_data(as_text=True)}"
            response.close()


def body(endpoint: str) -> dict[str, Any]:
    """What the call sends: a file for the one that takes one, else JSON or nothing."""
    if endpoint == "backups_api.restore_upload":
        return {"data": {"file": (io.BytesIO(b"SELECT 1;"), "dump.sql")}}
    return {"json": BODIES.get(endpoint)}


def a_member(session: Session, database: Database) -> str:
    """The id of a membership that is none of PEOPLE's, while `new` has none."""
    session.execute(text("DELETE FROM members WHERE user_id IN (SELECT id FROM users WHERE email LIKE 'new%')"))
    user = users.by_email(session, "colleague@example.com") or users.create_user(
        session, SYSTEM, "colleague@example.com"
    )
    found = session.scalar(select(Member.id).where(Member.user_id == user.id))
    member_id = found or members.add_member(session, SYSTEM, database, user.email, "developer").id
    session.commit()
    return str(member_id)


# Who left comes back.
TEAM = (
    "INSERT INTO members (id, database_id, user_id, level)"
    " SELECT gen_random_uuid(), d.id, u.id, split_part(u.email, '-', 1)"
    " FROM users u, databases d WHERE d.name = 'shop' AND u.email LIKE '%-member@example.com' ON CONFLICT DO NOTHING"
)


def reset(session: Session, operation: Operation, state: str) -> None:
    """Take back what the last call did."""
    session.execute(text("DELETE FROM invitations"))
    session.execute(text(TEAM))
    session.execute(text("UPDATE databases SET name = 'gone-' || id WHERE name = 'fresh'"))
    session.execute(text("UPDATE operations SET state = 'succeeded', cancel_requested_at = NULL, attempt = 0"))
    session.execute(text("UPDATE databases SET status = 'active', desired_state = 'present', deleted_at = NULL"))
    values = {"id": operation.id, "state": state}
    session.execute(text("UPDATE operations SET state = :state WHERE id = :id"), values)
    newest = "UPDATE operations SET generation = d.generation FROM databases d WHERE d.id = database_id"
    session.execute(text(newest))
    session.commit()


def guarded(view: Callable[[], str], method: str, app: Flask) -> None:
    """Answer one request with *view*, below the guards."""
    with app.test_request_context("/", method=method):
        g.marks = guards.begin()
        http.require_marks(app.make_response(view()))


def test_the_guards_raise(app: Flask) -> None:
    def forgetful() -> str:
        return "well"

    def checked() -> str:
        guards.mark_authorized()
        return "well"

    def recorded() -> str:
        guards.mark_audited()
        return checked()

    with pytest.raises(AssertionError, match="without an authorization check"):
        guarded(forgetful, "GET", app)
    with pytest.raises(AssertionError, match="without an audit event"):
        guarded(checked, "POST", app)
    guarded(checked, "GET", app)
    guarded(recorded, "POST", app)
