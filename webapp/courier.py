"""Sends what was queued for users: signed webhooks and mails. A thread of the web process, which has the keys."""

import threading
import time
from collections.abc import Callable

import structlog
from sqlalchemy.orm import Session, sessionmaker

from webapp.config import Settings
from webapp.gateways import mail, outgoing
from webapp.gateways.outgoing import Answer
from webapp.http import Resources
from webapp.models import QueuedMail
from webapp.permits import permit, wait_for_all
from webapp.services import outbox, webhook_deliveries
from webapp.services.notices import Notices, Subscription
from webapp.services.vault import VaultError
from webapp.services.webhook_deliveries import Parcel
from webapp.services.webhooks import TOPIC

AT_ONCE = 8
# What is due at a later time is looked for this often; what is queued now rings at once.
LOOK_EVERY_S = 5.0
THREAD = "courier-send"

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
        wait_for_all(self._free, AT_ONCE)
        wait_for_all(self._mailing, 1)

    def _run(self) -> None:
        with self._notices.subscribe(TOPIC) as subscription:
            while not self._stop.is_set():
                self._guarded(self._send_due)
                self._rest(subscription)

    @staticmethod
    def _guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  # the thread's outermost loop: one odd mail must not stop the rest
            log.warning("courier_failed", error=type(error).__name__)

    def _rest(self, subscription: Subscription) -> None:
        """Until something was queued, at most a while; `close` is heard within a second."""
        until = time.monotonic() + LOOK_EVERY_S
        while time.monotonic() < until and not self._stop.is_set():
            if subscription.wait(min(1.0, LOOK_EVERY_S)):
                return

    def _send_due(self) -> None:
        """Start all that is due, as far as there are threads; whoever ends one looks for the next itself."""
        with permit(self._mailing) as free:
            if free is not None:
                free.start(lambda: self._guarded(self.send_mails), THREAD)
        while not self._stop.is_set() and self._start_webhooks():
            pass

    def _start_webhooks(self) -> bool:
        """Whether there was a message due, and a thread for it."""
        with permit(self._free) as free:
            parcel = None if free is None else self._take()
            if free is None or parcel is None:
                return False
            free.start(lambda: self._guarded(lambda: self._send_webhooks(parcel)), THREAD)
            return True

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

    def send_mails(self) -> None:
        """Send what is due, one after the other."""
        while not self._stop.is_set():
            with self._sessions() as session:
                queued = outbox.take_due(session)
                session.commit()
            if queued is None:
                return
            error = self._mail(queued)
            with self._sessions() as session:
                tries_again = outbox.ended(session, queued, sent=error is None)
                session.commit()
            log.info("queued_mail", subject=queued.subject, error=error, tries_again=tries_again)

    def _mail(self, queued: QueuedMail) -> str | None:
        """What went wrong, by its kind alone: a server may repeat what it was sent."""
        try:
            mail.send(outbox.message(queued), self._config)
        except (*mail.FAILURES, VaultError) as error:
            return type(error).__name__
        return None


def own_names(config: Settings) -> tuple[str, ...]:
    """Names of this installation, to which no webhook goes."""
    return tuple(filter(None, (outgoing.host_of(config.base_url), config.public_host)))


def of(resources: Resources) -> Courier:
    """The courier of a web process."""
    return Courier(resources.settings, resources.sessions, resources.notices)
