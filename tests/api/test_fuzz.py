"""Schemathesis against the OpenAPI document: what it promises is what comes, whatever is sent."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, Set
from tests.api.worker import ScriptedWorker
from tests.support.rows import make_backup
from webapp.models import Backup, Database, Operation
from webapp.services import members, spool, users
from webapp.services.actors import SYSTEM

NETWORKS = st.sampled_from(["203.0.113.0/24", "2001:db8::/32", "0.0.0.0/0", "198.51.100.7", "::1"])
schemathesis.openapi.format("cidr", NETWORKS)
schemathesis.openapi.format("email", st.sampled_from(["dora@example.com", "Eve+db@example.org"]))

FEW = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=True)

PARTS = 4  # for as many processes; all of it in one takes minutes on a busy machine
in_parts = pytest.mark.parametrize("part", range(PARTS))


@pytest.fixture
def app(make_api: Set) -> Flask:
    many = "100000 per minute"
    return make_api(
        wait_timeout_s=0.05, read_rate=many, change_rate=many, sign_in_rate=many, mail_rate=many, account_rate=many
    )


def operations(app: Flask, part: int) -> Iterator[Any]:
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    # Which characters are printable is more than a pattern can say; test_errors.py sends the others.
    schema.config.generation.update(codec="ascii")
    for result in islice(schema.get_all_operations(), part, None, PARTS):
        yield result.ok()


@in_parts
def test_what_is_allowed(
    app: Flask,
    alice: Caller,
    shop: Database,
    queued: Operation,
    idle_worker: ScriptedWorker,
    session: Session,
    part: int,
) -> None:
    """Valid requests on a database and an operation that are there."""
    idle_worker.play_once()
    bob = users.create_user(session, SYSTEM, "bob@example.com")
    member = members.add_member(session, SYSTEM, shop, bob.email, "viewer")
    filename = "20260101_020000.sql.gz"
    make_backup(session, shop, filename=filename, copied=False)
    named = {"member_id": str(member.id), "filename": filename, "name": shop.host.name}
    named["delivery_id"] = named["invitation_id"] = str(queued.id)
    ids = {"databases": str(shop.id), "operations": str(queued.id)}
    headers = {"Authorization": f"Bearer {alice.key}"}
    for operation in operations(app, part):
        # What makes an upload's name a dump's is more than a schema can say; test_backups.py sends those.
        if operation.path.endswith("/backups/restore"):
            continue

        @FEW
        @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        def check(case: Any) -> None:
            if case.path_parameters:
                subject = case.path.split("/")[3]
                known = {"id": ids.get(subject, str(queued.id)), **named}
                case.path_parameters = {name: known[name] for name in case.path_parameters}
            # A key used before is refused for its history, which no document can say; test_idempotency.py sends those.
            if case.headers:
                case.headers.pop("Idempotency-Key", None)
            # A list with the same network twice is refused, and no schema can say that.
            if case.path.endswith("/allowlist") and isinstance(case.body, dict):
                case.body["data"] = list({entry["cidr"]: entry for entry in case.body["data"]}.values())
            # Which addresses are on the internet is more than a pattern can say; test_webhooks.py sends the others.
            if case.path.startswith("/api/v1/webhooks") and isinstance(case.body, dict):
                fit = {"url": "https://example.com/hook", "events": ["backup.failed"]}
                case.body.update({name: fit[name] for name in fit if name in case.body})
            case.call_and_validate(headers=headers)
            idle_worker.play_once()
            # Without a copy a download is a 202: the library would leave the file open.
            for copy in spool.copies().glob("*"):
                copy.unlink()
            if session.scalar(select(Backup.id).where(Backup.filename == filename)) is None:
                make_backup(session, shop, filename=filename, copied=False)
            session.commit()

        check()


@in_parts
def test_what_is_not(app: Flask, alice: Caller, part: int) -> None:
    """Requests that break the document in one way or another are refused as it says."""
    headers = {"Authorization": f"Bearer {alice.key}"}
    for operation in operations(app, part):

        @FEW
        @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        def check(case: Any) -> None:
            # A parameter that is an empty list is not sent: what is left may be valid.
            assume([] not in (case.query or {}).values())
            case.call_and_validate(headers=headers)

        check()
