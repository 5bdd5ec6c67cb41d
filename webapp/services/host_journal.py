"""Changes that a person made on a host by playbook, past the control plane: from the host's journal to the audit log.

Hosts hold no way to the control plane, so they write down what was done and reports bring it. What stands there is
the host's word: whoever rules the host can change it before it is read.
"""

import uuid
from datetime import datetime
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp.models import Database, Host
from webapp.services import audit
from webapp.services.actors import Actor
from webapp.services.reports import Journal

Short = Annotated[str, Field(max_length=400, pattern=r"^[^\x00]*$")]

log = structlog.get_logger(__name__)


class Entry(BaseModel):
    """One line of a journal; what a newer module says beyond it is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: uuid.UUID
    at: datetime
    who: Short
    playbook: Short
    database: Short
    state: Short = ""
    changes: list[Short] = Field(default=[], max_length=100)
    error: Short | None = None


def read_to(session: Session, host_id: uuid.UUID) -> int:
    """Where the next report is to begin in the host's journal."""
    return session.scalar(select(Host.journal_read_to).where(Host.id == host_id)) or 0


def keep(session: Session, host_id: uuid.UUID, journal: Journal) -> None:
    """Record each entry once: how far was read stands in the same transaction. The caller holds the host's lease."""
    host = session.get_one(Host, host_id)
    for raw in journal.entries:
        try:
            entry = Entry.model_validate(raw)
        except ValidationError as error:
            log.warning("journal_entry_unreadable", host=host.name, problems=error.error_count())
            continue
        _record(session, host, entry)
    if journal.read_to != host.journal_read_to:
        session.execute(update(Host).where(Host.id == host_id).values(journal_read_to=journal.read_to))


def _record(session: Session, host: Host, entry: Entry) -> None:
    """The event is of now, when it became known; when it happened is in its details."""
    named = select(Database).where(Database.host_id == host.id, Database.name == entry.database)
    database = session.scalars(named.where(Database.deleted_at.is_(None))).unique().one_or_none()
    details = {
        "host": host.name, "playbook": entry.playbook, "at": entry.at.isoformat(), "state": entry.state,
        "changes": entry.changes, "error": entry.error, "entry": str(entry.id),
    }  # fmt: skip
    operator = Actor("system", operator=entry.who)
    audit.record(session, operator, "database.playbook", entry.database, database=database, details=details)
