"""What an operator changes about hosts: enrolment, state, keys, removal. Each change is one audit event."""

import uuid
from collections.abc import Callable
from typing import Any

from sqlalchemy import Update, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from webapp.models import Database, FinalBackup, Host, Operation
from webapp.services import audit, doorbell, hosts
from webapp.services.actors import SYSTEM, Actor
from webapp.services.errors import Conflict, NameTaken
from webapp.services.guards import mark_audited
from webapp.services.host_keys import check_key, fingerprint
from webapp.services.host_rules import HostSpec, check_address, check_capacity, check_region, check_spec, refused

ACTIONS = {"active": "host.activate", "draining": "host.drain", "offline": "host.offline"}
SETTABLE: dict[str, Callable[[Any], Any]] = {
    "capacity": check_capacity,
    "region": check_region,
    "public_host": check_address,
}


def begin_enrolment(session: Session, actor: Actor, spec: HostSpec) -> Host:
    """The host's row, made or brought up to date, before anything is done on the machine.

    A new host and one that takes new databases are `enrolling` until the end, so that a failure leaves nothing placed
    there; a draining or offline one stays so. Raises ValidationFailed, NameTaken, or Conflict (other keys are pinned).
    """
    check_spec(spec)
    keys = [check_key(key) for key in spec.host_keys]
    if not keys:
        raise refused("hostKey", "A host is reached only by a pinned key.")
    host = session.scalar(select(Host).where(Host.name == spec.name, hosts.live()).with_for_update())
    if host is not None and host.host_keys and sorted(host.host_keys) != sorted(keys):
        raise Conflict(
            f"Another SSH key of {spec.name} is pinned. Look at the host, then: dbhost host rekey {spec.name}"
        )
    if host is None:
        host = Host(id=uuid.uuid4(), name=spec.name, state="enrolling")
    _describe(session, actor, host, spec, keys)
    return host


def adopt(session: Session, actor: Actor, spec: HostSpec) -> Host:
    """As begin_enrolment, for hosts that this machine made itself: their keys are known, states stay as they are."""
    host = session.scalar(select(Host).where(Host.name == spec.name, hosts.live()))
    if host is None:
        return begin_enrolment(session, actor, spec)
    keys = [check_key(key) for key in spec.host_keys]
    if host.host_keys and sorted(host.host_keys) != sorted(keys):
        rekey(session, actor, host, keys)
    _describe(session, actor, host, spec, keys, state=host.state)
    return host


def _describe(
    session: Session, actor: Actor, host: Host, spec: HostSpec, keys: list[str], *, state: str | None = None
) -> None:
    values: dict[str, Any] = {
        "address": spec.address,
        "ssh_port": spec.ssh_port,
        "host_keys": keys,
        "public_host": spec.public_host or spec.address,
        "pgbouncer_port": spec.pgbouncer_port,
        "pgbouncer_direct_port": spec.pgbouncer_direct_port,
        "region": spec.region,
        "capacity": spec.capacity,
        "tls_root": spec.tls_root,
        "variables": dict(spec.variables),
        "state": state or ("enrolling" if host.state == "active" else host.state),
    }
    is_new = host.public_host is None
    changed = {name: value for name, value in values.items() if getattr(host, name) != value}
    for name, value in changed.items():
        setattr(host, name, value)
    try:
        with session.begin_nested():
            session.add(host)
    except IntegrityError:
        raise NameTaken(f"Another host has the address {spec.address}, port {spec.ssh_port}.") from None
    if changed:
        details = {"address": spec.address, "fingerprints": [fingerprint(key) for key in keys]}
        audit.record(session, actor, "host.add" if is_new else "host.update", host.name, details=details)


def finish_enrolment(session: Session, actor: Actor, host: Host) -> bool:
    """Let new databases go to the host, now that it is proven; False when its state says otherwise."""
    ended = update(Host).where(Host.id == host.id, Host.state == "enrolling", hosts.live())
    if not _changed(session, ended.values(state="active")):
        return False
    session.refresh(host)
    audit.record(session, actor, "host.enrol", host.name)
    return True


def set_state(session: Session, actor: Actor, host: Host, state: str) -> bool:
    """Make the host active, draining or offline; False when it is already. Raises Conflict.

    Draining keeps what is there and takes nothing new. While a host is offline its operations wait; they go on when it
    is back.
    """
    if host.state == state:
        mark_audited()  # there is nothing to record
        return False
    if state == "active" and host.key_refused_at is not None:
        raise Conflict(f"{host.name} shows another SSH key than the pinned one. Look at it, then rekey it.")
    others = [name for name in ACTIONS if name != state]
    changing = update(Host).where(Host.id == host.id, Host.state.in_(others), hosts.live())
    if not _changed(session, changing.values(state=state)):
        raise Conflict(f"The enrolment of {host.name} has not ended: run `dbhost host add` again.")
    session.refresh(host)
    audit.record(session, actor, ACTIONS[state], host.name)
    _let_operations_go(session, host)
    return True


def describe(session: Session, actor: Actor, host: Host, **values: Any) -> bool:
    """Change capacity, region or public host; False when all is so already. Raises ValidationFailed."""
    changed = {name: SETTABLE[name](value) for name, value in values.items() if getattr(host, name) != value}
    for name, value in changed.items():
        setattr(host, name, value)
    if changed:
        audit.record(session, actor, "host.update", host.name, details=changed)
    return bool(changed)


def rekey(session: Session, actor: Actor, host: Host, keys: list[str]) -> None:
    """Pin other keys, after somebody has found out why they changed; what waited goes on."""
    if host.address is None:
        raise Conflict(f"{host.name} is described by an inventory file, and its key is pinned beside that.")
    new = [check_key(key) for key in keys]
    details = {"from": [fingerprint(key) for key in host.host_keys], "to": [fingerprint(key) for key in new]}
    host.host_keys, host.key_refused_at = new, None
    audit.record(session, actor, "host.rekey", host.name, details=details)
    session.flush()
    _let_operations_go(session, host)


def refuse_key(session: Session, host_id: uuid.UUID) -> bool:
    """Hold the host, since it shows a key that is not pinned; True the first time. Only a person takes this back."""
    first = update(Host).where(Host.id == host_id, Host.key_refused_at.is_(None))
    if not _changed(session, first.values(key_refused_at=func.now())):
        return False
    audit.record(session, SYSTEM, "host.refuse_key", session.get_one(Host, host_id).name)
    return True


def remove(session: Session, actor: Actor, host: Host) -> None:
    """Forget a host on which nothing lives; the machine itself is left as it is. Raises Conflict."""
    session.refresh(host, with_for_update={"of": Host})
    if host.name == hosts.EMBEDDED:
        raise Conflict(f"{host.name} belongs to this installation itself.")
    live = _count(session, Database, Database.host_id == host.id, Database.deleted_at.is_(None))
    if live:
        raise Conflict(
            f"{live} database{'s live' if live > 1 else ' lives'} on {host.name}. Move or delete them first."
        )
    if _count(session, FinalBackup, FinalBackup.host_id == host.id):
        raise Conflict(f"{host.name} keeps deleted databases aside whose final backup is not made yet.")
    if _count(session, Operation, Operation.host_id == host.id, Operation.state.in_(("queued", "running"))):
        raise Conflict(f"An operation on {host.name} has not ended.")
    host.state, host.removed_at = "offline", session.scalar(select(func.now()))
    audit.record(session, actor, "host.remove", host.name)


def _let_operations_go(session: Session, host: Host) -> None:
    """What waited while the host was held is due now, not when its last backoff ends."""
    if host.is_held:
        return
    waiting = update(Operation).where(Operation.host_id == host.id, Operation.state == "queued")
    if _changed(session, waiting.values(next_attempt_at=func.least(Operation.next_attempt_at, func.now())), Operation):
        doorbell.ring(session, host.id)


def _count(session: Session, model: type[Database | FinalBackup | Operation], *conditions: Any) -> int:
    return session.scalar(select(func.count()).select_from(model).where(*conditions)) or 0


def _changed(session: Session, statement: Update, model: type[Host | Operation] = Host) -> bool:
    options = {"synchronize_session": False}
    return session.execute(statement.returning(model.id).execution_options(**options)).first() is not None
