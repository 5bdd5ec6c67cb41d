"""Mails asked for by a transaction, and sent after it by the web process: a worker has no way to the mail server."""

import base64
import uuid
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from webapp.gateways.mail import Mail
from webapp.models import QueuedMail
from webapp.services import webhooks
from webapp.services.vault import vault

# After the first, second, … failure. A mail server that is away for half a day is nothing unheard of.
PAUSES_S = (30, 120, 600, 1800, 3600, 7200, 14400, 28800)
LEASE = timedelta(minutes=3)


def queue(session: Session, mail: Mail) -> None:
    """Send *mail* once the caller has committed; at least once. It must hold no secret: it is stored until then."""
    session.add(QueuedMail(recipient=mail.to, subject=mail.subject, text=mail.text))
    webhooks.ring(session)


def post(session: Session, mail: Mail) -> None:
    """Send *mail*, which may let somebody in, once the caller has committed. For the web process, which has the key."""
    number = uuid.uuid4()
    sealed = base64.b64encode(vault().encrypt(mail.text, _context(number))).decode()
    session.add(QueuedMail(id=number, recipient=mail.to, subject=mail.subject, text=sealed, sealed=True))
    webhooks.ring(session)


def message(queued: QueuedMail) -> Mail:
    """The mail as it goes out. Raises VaultError when its key is gone."""
    text = queued.text
    if queued.sealed:
        text = vault().decrypt(base64.b64decode(text), _context(queued.id))
    return Mail(queued.recipient, queued.subject, text)


def _context(number: uuid.UUID) -> str:
    return f"mail:{number}"


def take_due(session: Session) -> QueuedMail | None:
    """A mail whose time has come, leased by moving its next attempt away. The caller commits before it sends."""
    due = (
        select(QueuedMail)
        .where(QueuedMail.next_attempt_at <= func.now())
        .order_by(QueuedMail.next_attempt_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    mail = session.scalar(due)
    if mail is not None:
        mail.attempt += 1
        mail.next_attempt_at = func.now() + LEASE
    return mail


def ended(session: Session, mail: QueuedMail, *, sent: bool) -> bool:
    """Forget a mail that was sent, or tried often enough; otherwise try later. Whether it is tried again."""
    mine = QueuedMail.id == mail.id, QueuedMail.attempt == mail.attempt
    if sent or mail.attempt > len(PAUSES_S):
        session.execute(delete(QueuedMail).where(*mine))
        return False
    later = func.now() + timedelta(seconds=PAUSES_S[mail.attempt - 1])
    session.execute(update(QueuedMail).where(*mine).values(next_attempt_at=later))
    return True
