"""Sends what was queued for users: signed webhooks and mails. A thread of the web process, which has the keys."""

import smtplib
import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from webapp.config import Settings
from webapp.gateways import mail, outgoing
from webapp.gateways.mail import Mail
from webapp.gateways.outgoing import Answer
from webapp.http import Resources
from webapp.services import outbox, webhook_deliveries
from webapp.services.notices import Notices, Subscription
from webapp.services.webhook_deliveries import Parcel
from webapp.services.webhooks import TOPIC

AT_ONCE = 8
# What is due at a later time is looked for this often; what is queued now rings at once.
LOOK_EVERY_S = 5.0

log = structlog.get_logger(__name__)


class Courier:
    """One web process's share. Leases in the control database keep couriers out of each other's way.

    Its threads are daemons: what is cut off at the end of the process is sent again once its lease is over.
    """

    def __init__(self, config: Settings, sessions: sessionmaker[Session], notices: Notices) -> None:
        self._config = config
        self._sessions = sessions
        self._notices = notices
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self._mailing = threading.BoundedSemaphore(1)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin in the background; in a server that forks, after the fork."""
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take nothing more, and wait for what is under way."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for _ in range(AT_ONCE):
            self._free.acquire()
        self._mailing.acquire()

    def _run(self) -> None:
        with self._notices.subscribe(TOPIC) as subscription:
            while not self._stop.is_set():
                try:
                    self._send_due()
                except SQLAlchemyError as error:
                    log.warning("courier_failed", error=type(error).__name__)
                self._rest(subscription)

    def _rest(self, subscription: Subscription) -> None:
        """Until something was queued, at most a while; `close` is heard within a second."""
        until = time.monotonic() + LOOK_EVERY_S
        while time.monotonic() < until and not self._stop.is_set():
            if subscription.wait(min(1.0, LOOK_EVERY_S)):
                return

    def _send_due(self) -> None:
        """Start all that is due, as far as there are threads; whoever ends one looks for the next itself."""
        self._start(self._mailing, self._send_mails)
        while not self._stop.is_set() and self._free.acquire(blocking=False):
            parcel = self._take()
            if parcel is None:
                self._free.release()
                return
            self._spawn(self._free, lambda first=parcel: self._send_webhooks(first))  # type: ignore[misc]

    def _start(self, slots: threading.BoundedSemaphore, work: Callable[[], None]) -> None:
        if slots.acquire(blocking=False):
            self._spawn(slots, work)

    def _spawn(self, slots: threading.BoundedSemaphore, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except SQLAlchemyError as error:
                log.warning("courier_failed", error=type(error).__name__)
            finally:
                slots.release()

        threading.Thread(target=guarded, name="courier-send", daemon=True).start()

    def _take(self) -> Parcel | None:
        with self._sessions() as session:
            parcel = webhook_deliveries.take(session)
            session.commit()
        return parcel

    def _send_webhooks(self, parcel: Parcel | None) -> None:
        while parcel is not None:
            answer = self._post(parcel)
            with self._sessions() as session:
                kept = webhook_deliveries.finish(session, parcel, answer)
                session.commit()
            log.info(
                "webhook_sent", message_id=parcel.message_id, endpoint_id=str(parcel.endpoint_id),
                status=answer.status_code, took_ms=answer.took_ms, kept=kept,
            )  # fmt: skip
            parcel = None if self._stop.is_set() else self._take()

    def _post(self, parcel: Parcel) -> Answer:
        if not parcel.secrets:
            return Answer(None, "The signing secret cannot be read any more: rotate it.", 0)
        private, own = self._config.webhooks_allow_private, own_names(self._config)
        return outgoing.post(parcel.url, parcel.body, parcel.headers(), allow_private=private, own=own)

    def _send_mails(self) -> None:
        while not self._stop.is_set():
            with self._sessions() as session:
                queued = outbox.take_due(session)
                session.commit()
            if queued is None:
                return
            error = self._mail(Mail(queued.recipient, queued.subject, queued.text))
            with self._sessions() as session:
                tries_again = outbox.ended(session, queued, sent=error is None)
                session.commit()
            log.info("queued_mail", subject=queued.subject, error=error, tries_again=tries_again)

    def _mail(self, message: Mail) -> str | None:
        """What went wrong, by its kind alone: a server may repeat what it was sent."""
        try:
            mail.send(message, self._config)
        except (OSError, smtplib.SMTPException) as error:
            return type(error).__name__
        return None


def own_names(config: Settings) -> tuple[str, ...]:
    """Names of this installation, to which no webhook goes."""
    return tuple(filter(None, (outgoing.host_of(config.base_url), config.public_host)))


def of(resources: Resources) -> Courier:
    """The courier of a web process."""
    return Courier(resources.settings, resources.sessions, resources.notices)
