"""Moving a database to another host. Platform admins choose hosts; its owner may get a new address, nothing more."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.models import Database, Host, Operation
from webapp.models.databases import GENERATIONS
from webapp.services import audit, backups, copies, databases, hosts, operations
from webapp.services.actors import SYSTEM, Actor
from webapp.services.errors import Conflict, DatabaseNotActive, HostUnavailable
from webapp.services.long_operations import when_ended, when_retried

MOVABLE = ("active", "stopped")


def move_database(session: Session, actor: Actor, database: Database, host_name: str) -> Operation:
    """Queue the move of the database to the host of that name. The caller has checked permission `move`.

    Raises HostNotFound, HostUnavailable, Conflict, DatabaseNotActive or OperationInProgress.
    """
    databases.lock(session, database)
    if database.deleted_at is not None or database.status not in MOVABLE:
        raise DatabaseNotActive(f"The database is {database.status}; this needs it to be active or stopped.")
    operations.require_idle(session, database)
    target = _with_room(session, database, host_name)
    params = {
        "backup_id": str(backups.plan_backup(session, database, "safety").id),
        "target_id": str(target.id),
        "moved": False,
        "previous_status": database.status,
        "previous_state": database.desired_state,
    }
    operation = operations.enqueue(session, "database.move", database, actor, params, lane="long")
    database.status = "restoring"
    details = {"from": database.host.name, "to": target.name}
    audit.record(
        session, actor, "database.move", database.name, database=database, operation=operation, details=details
    )
    return operation


def targets(session: Session, database: Database) -> list[Host]:
    """The hosts that the database could move to, by name."""
    query = select(Host).where(Host.state == "active", Host.key_refused_at.is_(None), hosts.live())
    return [host for host in session.scalars(query.order_by(Host.name)) if host.id != database.host_id]


def keeps_address(source: Host, target: Host) -> bool:
    """Whether the connection strings stay as they are: both hosts are known by one stable name."""
    told = [(host.public_host, host.pgbouncer_port, host.pgbouncer_direct_port) for host in (source, target)]
    return told[0] == told[1]


def _with_room(session: Session, database: Database, name: str) -> Host:
    host = hosts.by_name(session, name)
    session.refresh(host, with_for_update={"of": Host, "read": True, "key_share": True})
    if host.id == database.host_id:
        raise Conflict(f"The database is on {name} already.")
    if host.state != "active" or host.is_held:
        raise HostUnavailable(f"The host {name} takes no databases.")
    if host.short_of is not None:
        raise HostUnavailable(f"The host {name} takes no databases: it is short of {host.short_of}.")
    if copies.of_others(session, database, host):
        raise HostUnavailable(f"The host {name} still has a deleted database of this name; it goes by itself.")
    live = select(func.count()).where(Database.host_id == host.id, Database.deleted_at.is_(None))
    if session.scalars(live).one() >= host.capacity:
        raise HostUnavailable(f"The host {name} has no room for another database.")
    return host


@when_ended("database.move")
def _ended(session: Session, operation: Operation) -> None:
    """What was not moved is opened again where it is; what was moved is opened on its new host, however this ended."""
    if operation.state == "succeeded":
        return
    database, params = operation.database, operation.params
    backups.give_up(session, params["backup_id"], operation.error_message)
    database.status = params["previous_status"]
    if not operation.attempt:
        return
    database.generation = session.scalars(select(GENERATIONS.next_value())).one()
    # A session that began while it was read-only stays so: whoever is there is cut off once.
    kind = "database.stop" if database.desired_state == "stopped" else "database.restart"
    again = {"previous_state": database.desired_state, "previous_status": database.status}
    operations.enqueue(session, kind, database, SYSTEM, again)


@when_retried("database.move")
def _again(_session: Session, _operation: Operation) -> None:
    """Clients wrote to it since: what was dumped is another state of it."""
    raise Conflict("The database was opened again after this failed. Move it anew.")
