"""Databases: every change records the desired state and queues the operation that makes it true."""

import secrets
import uuid
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy import or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.db import bound_wait
from webapp.models import Database, Host, Operation
from webapp.models.databases import GENERATIONS
from webapp.services import access, audit, copies, hosts, operations, plans, users
from webapp.services.actors import Actor
from webapp.services.errors import (
    Conflict,
    DatabaseNotActive,
    DeleteProtected,
    NameTaken,
    OperationInProgress,
    Unauthorized,
)
from webapp.services.names import check_display_name, check_name, derive_name
from webapp.services.paging import Page, paginate
from webapp.services.scram import scram_verifier
from webapp.services.vault import vault

SECRET = "secret"  # noqa: S105  # of an operation's parameters
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class DatabaseSpec:
    """What a person asks for; without a name, one is derived from the display name."""

    display_name: str
    name: str | None = None


@dataclass(frozen=True)
class Credentials:
    """All that a client needs to connect."""

    host: str
    port: int
    direct_port: int
    database: str
    username: str
    password: str = field(repr=False)
    connection_string: str = field(repr=False)
    direct_connection_string: str = field(repr=False)


def create_database(session: Session, actor: Actor, spec: DatabaseSpec) -> Operation:
    """Record the database, queue its creation, and return the operation.

    Nothing exists on a host until a worker has converged it. The caller commits, so that the row, the
    operation, the audit event and the doorbell stand or fall together.

    Raises ValidationFailed, KeyScopeDenied, PlanLimitReached, NameTaken or HostUnavailable.
    """
    database = add_database(session, actor, spec)
    operation = operations.enqueue(
        session, "database.create", database, actor, secret_mark(database.password_encrypted)
    )
    audit.record(session, actor, "database.create", database.name, database=database, operation=operation)
    return operation


def add_database(session: Session, actor: Actor, spec: DatabaseSpec) -> Database:
    """The row of a new database, owned by the actor, with a password, on a host with room; nothing is queued.

    Raises as `create_database`.
    """
    access.require_full_account(actor)
    display_name = check_display_name(spec.display_name)
    name = check_name(spec.name) if spec.name is not None else derive_name(display_name)
    if actor.user is None:
        raise Unauthorized("Only a user can own a database.")
    database_id = uuid.uuid4()
    secret = new_secret(session, database_id)
    owner = users.lock(session, actor.user.id)
    plans.require_room(session, owner)
    host = hosts.place(session, copies.none_on_host(name, database_id))
    database = Database(id=database_id, name=name, display_name=display_name, owner=owner, host=host)
    database.verifier, database.password_encrypted = secret
    try:
        with session.begin_nested():
            session.add(database)
    except IntegrityError:
        raise NameTaken(f"The name {name} is taken.") from None
    return database


def list_databases(
    session: Session,
    actor: Actor,
    *,
    page: int = 1,
    limit: int = 20,
    search: str | None = None,
    status: str | None = None,
) -> Page[Database]:
    """Live databases the actor may see, newest first; *search* looks in name and display name."""
    query = select(Database).where(access.visible(actor), Database.deleted_at.is_(None))
    if search and search.strip():
        word = search.strip()
        matches = (
            Database.name.icontains(word, autoescape=True),
            Database.display_name.icontains(word, autoescape=True),
        )
        query = query.where(or_(*matches))
    if status:
        query = query.where(Database.status == status)
    return paginate(session, query.order_by(Database.created_at.desc(), Database.id), page=page, limit=limit)


def rename_database(session: Session, actor: Actor, database: Database, display_name: str) -> Database:
    """Change the display name; the name in connection strings stays."""
    new = check_display_name(display_name)
    details = {"from": database.display_name, "to": new}
    database.display_name = new
    audit.record(session, actor, "database.rename", database.name, database=database, details=details)
    return database


def delete_database(session: Session, actor: Actor, database: Database) -> Operation:
    """Queue the end of the database: its data, role and pool entry go, and the name is free afterwards.

    Nothing is backed up: `deletions.delete_database` is what people ask for. Raises DeleteProtected.
    """
    require_unprotected(database)
    operation = queue_change(session, actor, database, "database.delete", desired_state="absent")
    database.status = "deleting"
    return operation


def reset_password(session: Session, actor: Actor, database: Database) -> Operation:
    """Queue a new password; the old one is dead once the operation succeeded, for open sessions too."""
    _require_status(database, "active", "stopped", "error")
    return queue_change(session, actor, database, "database.reset_password", new_password=True)


def repair_ownership(session: Session, actor: Actor, database: Database) -> Operation:
    """Queue giving every object inside back to the database's role."""
    _require_status(database, "active")
    return queue_change(session, actor, database, "database.repair_ownership")


def start_database(session: Session, actor: Actor, database: Database) -> Operation:
    """Queue opening the database; one that runs already stays as it is."""
    return queue_change(session, actor, database, "database.start", desired_state="present")


def stop_database(session: Session, actor: Actor, database: Database) -> Operation:
    """Queue cutting off all clients and refusing new ones; the data stays."""
    return queue_change(session, actor, database, "database.stop", desired_state="stopped")


def restart_database(session: Session, actor: Actor, database: Database) -> Operation:
    """Queue cutting every client once; they may connect again at once."""
    _require_status(database, "active")
    return queue_change(session, actor, database, "database.restart")


def credentials(database: Database) -> Credentials:
    """Decrypt the password and say how to connect. The caller has checked permission `credentials`."""
    if database.password_encrypted is None:
        raise DatabaseNotActive("This database has no password any more.")
    password = vault().decrypt(database.password_encrypted, str(database.id))
    return credentials_of(database, database.name, password)


def credentials_of_operation(operation: Operation) -> Credentials:
    """The credentials that this operation made, never later ones. Raises Conflict when the password was replaced."""
    mark = secret_mark(operation.database.password_encrypted)
    if mark and operation.params.get(SECRET) != mark[SECRET]:
        raise Conflict("The password of this operation was replaced since. Reset the password to get a new one.")
    return credentials(operation.database)


def secret_mark(sealed: bytes | None) -> dict[str, str]:
    """What tells one sealed password from the next, and nothing about it; it goes with the operation."""
    return {} if sealed is None else {SECRET: sha256(sealed).hexdigest()}


def credentials_of(database: Database, role: str, password: str) -> Credentials:
    """How to connect as *role*."""
    return Credentials(
        host=database.host.public_host,
        port=database.host.pgbouncer_port,
        direct_port=database.host.pgbouncer_direct_port,
        database=database.name,
        username=role,
        password=password,
        connection_string=connection_string(database, password, role),
        direct_connection_string=connection_string(database, password, role, direct=True),
    )


def connection_string(database: Database, password: str, role: str | None = None, *, direct: bool = False) -> str:
    """The libpq URI of *database*, by which a client can prove that it speaks to the right host.

    The pooled door's by default; the direct one gives each client a session of its own.
    """
    host = database.host.public_host
    address = f"[{host}]" if ":" in host else host
    name = quote(database.name, safe="")
    port = database.host.pgbouncer_direct_port if direct else database.host.pgbouncer_port
    where = f"{address}:{port}/{name}"
    user = quote(role or database.name, safe="")
    return f"postgresql://{user}:{quote(password, safe='')}@{where}?{urlencode(tls_options(database.host), safe='/')}"


def tls_options(host: Host) -> dict[str, str]:
    """What a client says of TLS. The authority's file has its place on this machine; elsewhere, where one saved it."""
    ca_file = settings().ca_file
    root = host.tls_root or (str(ca_file) if ca_file is not None and host.public_host in LOOPBACK else None)
    return {"sslmode": "require"} if root is None else {"sslmode": "verify-full", "sslrootcert": root}


def lock(session: Session, database: Database) -> None:
    """Hold the database's row until the transaction ends, and see it as it is now."""
    bound_wait(session)
    session.refresh(database, with_for_update={"of": Database})


def queue_change(
    session: Session,
    actor: Actor,
    database: Database,
    kind: str,
    *,
    desired_state: str | None = None,
    new_password: bool = False,
    params: dict[str, Any] | None = None,
    details: dict[str, Any] | None = None,
    lane: str = "converge",
) -> Operation:
    """One new generation of the desired state, with its operation and audit event.

    *params* go with the operation, *details* with the event. Raises DatabaseNotActive or OperationInProgress.
    """
    secret = new_secret(session, database.id) if new_password else None
    lock(session, database)
    if database.deleted_at is not None or (database.desired_state == "absent" and kind != "database.delete"):
        raise DatabaseNotActive("This database is being deleted.")
    if database.status == "creating":
        raise OperationInProgress("This database is still being created.")
    if database.status == "restoring":
        raise OperationInProgress("This database is being restored.")
    previous = {"previous_state": database.desired_state, "previous_status": database.status}
    if desired_state is not None:
        database.desired_state = desired_state
    if secret is not None:
        database.verifier, database.password_encrypted = secret
        previous |= secret_mark(database.password_encrypted)
    database.generation = session.scalars(select(GENERATIONS.next_value())).one()
    operation = operations.enqueue(session, kind, database, actor, previous | (params or {}), lane=lane)
    audit.record(session, actor, kind, database.name, database=database, operation=operation, details=details)
    return operation


def require_unprotected(database: Database) -> None:
    """Raises DeleteProtected."""
    if database.delete_protection:
        raise DeleteProtected("This database is protected from being deleted. Switch the protection off first.")


def set_new_password(session: Session, database: Database) -> None:
    """Give the database a random password; the host knows it once an operation has carried its verifier there."""
    database.verifier, database.password_encrypted = new_secret(session, database.id)


def new_secret(session: Session, database_id: uuid.UUID) -> tuple[str, bytes]:
    """The verifier and the encrypted text of a random password: made before a row is locked, since it takes a while."""
    password = secrets.token_urlsafe(24)
    return scram_verifier(session, password), vault().encrypt(password, str(database_id))


def _require_status(database: Database, *statuses: str) -> None:
    if database.status not in statuses:
        raise DatabaseNotActive(f"The database is {database.status}; this needs it to be {' or '.join(statuses)}.")
