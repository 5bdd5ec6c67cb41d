"""Forms that make something: sent twice, by a double click, a reload or *back*, they make one thing."""

import json
import uuid
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from webapp.models import SubmittedForm
from webapp.services.vault import vault

KEPT = timedelta(hours=1)


@dataclass(frozen=True)
class Outcome:
    """The answer to a form: a page, perhaps with a secret on it, or where it led."""

    status: int
    location: str | None
    nonce: str
    body: str = field(repr=False)


def claim(session: Session, auth_session_id: uuid.UUID, key: bytes) -> bool:
    """Take the form in the transaction of what it makes; False when it was sent before.

    While it is being answered at the same time, this waits for that transaction's end.
    """
    over = SubmittedForm.expires_at < func.now()
    session.execute(delete(SubmittedForm).where(SubmittedForm.auth_session_id == auth_session_id, over))
    row = insert(SubmittedForm).values(auth_session_id=auth_session_id, key=key, expires_at=func.now() + KEPT)
    return session.execute(row.on_conflict_do_nothing().returning(SubmittedForm.key)).first() is not None


def remember(session: Session, auth_session_id: uuid.UUID, key: bytes, outcome: Outcome) -> None:
    """Keep the answer, encrypted, for as long as the form is remembered."""
    row = session.get(SubmittedForm, (auth_session_id, key))
    if row is not None:
        text = json.dumps([outcome.status, outcome.location, outcome.nonce, outcome.body])
        row.answer_encrypted = vault().encrypt(text, _context(auth_session_id, key))


def outcome_of(session: Session, auth_session_id: uuid.UUID, key: bytes) -> Outcome | None:
    """What the form's first sending was answered by; None as long as that is not known."""
    query = select(SubmittedForm.answer_encrypted)
    sealed = session.scalar(query.where(SubmittedForm.auth_session_id == auth_session_id, SubmittedForm.key == key))
    if sealed is None:
        return None
    status, location, nonce, body = json.loads(vault().decrypt(sealed, _context(auth_session_id, key)))
    return Outcome(status, location, nonce, body)


def purge_expired(session: Session) -> None:
    """Forget what is over, also of browsers that send nothing any more. The caller commits."""
    session.execute(delete(SubmittedForm).where(SubmittedForm.expires_at < func.now()))


def _context(auth_session_id: uuid.UUID, key: bytes) -> str:
    return json.dumps(["form", str(auth_session_id), key.hex()])
