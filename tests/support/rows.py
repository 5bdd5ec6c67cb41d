"""Rows of the control database as the services would have made them, for tests below the services."""

import hashlib
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Backup, Database, Host, Operation, User, WebhookEndpoint
from webapp.models.databases import GENERATIONS
from webapp.services import doorbell, spool

VERIFIER = "SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0$c3RvcmVk:c2VydmVy"


def make_user(session: Session, email: str | None = None) -> User:
    """A user with a plan."""
    user = User(email=email or f"{uuid.uuid4().hex[:8]}@example.com", plan="business")
    session.add(user)
    session.flush()
    return user


def make_endpoint(session: Session, user: User, *events: str, **values: Any) -> WebhookEndpoint:
    """A webhook endpoint of *user* that wants *events*; nothing is ever sent there."""
    defaults = {"url": "https://example.com/hook", "secret_encrypted": b"sealed"}
    endpoint = WebhookEndpoint(user_id=user.id, events=list(events), **(defaults | values))
    session.add(endpoint)
    session.flush()
    return endpoint


def make_host(session: Session, name: str = "local") -> Host:
    """An active host; its name is its name in the inventory."""
    host = Host(name=name, public_host="127.0.0.1", pgbouncer_port=6432)
    session.add(host)
    session.flush()
    return host


def make_database(session: Session, host: Host, owner: User, **values: Any) -> Database:
    """A database as it is right after somebody asked for it."""
    name = values.pop("name", f"db-{secrets.token_hex(5)}")
    defaults = {"display_name": name, "verifier": VERIFIER, "password_encrypted": b"sealed", "status": "creating"}
    database = Database(name=name, host=host, owner=owner, **(defaults | values))
    session.add(database)
    session.flush()
    return database


def make_operation(session: Session, database: Database, kind: str = "database.create", **values: Any) -> Operation:
    """A queued operation on the database's current generation."""
    values = {"actor_type": "system", **values}
    generation = database.generation
    operation = Operation(kind=kind, database=database, host=database.host, generation=generation, **values)
    session.add(operation)
    session.flush()
    return operation


def ask(session: Session, database: Database, kind: str, desired_state: str | None = None) -> Operation:
    """A later change: a new generation, its operation and the doorbell."""
    database.generation = session.scalars(select(GENERATIONS.next_value())).one()
    database.desired_state = desired_state or database.desired_state
    operation = make_operation(session, database, kind)
    doorbell.ring(session, database.host_id)
    return operation


def create_many(session: Session, host: Host, count: int, *, ring: bool = True) -> list[Operation]:
    """That many databases of one user, each with its queued creation and its doorbell."""
    owner = make_user(session)
    operations = [make_operation(session, make_database(session, host, owner)) for _ in range(count)]
    for operation in operations if ring else ():
        doorbell.ring(session, operation.host_id)
    session.commit()
    return operations


DUMP = b"a dump, as far as nobody opens it"


def dumped() -> dict[str, Any]:
    """What is known of a finished dump."""
    checksum = hashlib.sha256(DUMP).hexdigest()
    manifest = {"tables": 1, "rows": 2}
    return {"state": "available", "size_bytes": len(DUMP), "sha256": checksum, "manifest": manifest}


def make_backup(session: Session, database: Database, *, copied: bool = True, **values: Any) -> Backup:
    """A finished backup of *database*, with its copy in the spool unless it is still on its host alone."""
    at = values.pop("at", datetime.now(UTC))
    defaults = {
        "id": uuid.uuid4(), "filename": f"{at:%Y%m%d_%H%M%S}.sql.gz", "kind": "manual",
        "store": "host", "created_at": at, "expires_at": at + timedelta(days=30),
    } | dumped()  # fmt: skip
    backup = Backup(database=database, host=database.host, **(defaults | values))
    session.add(backup)
    session.commit()
    if copied and backup.state == "available":
        spool.ensure()
        spool.copy(backup.id).write_bytes(DUMP)
    return backup
