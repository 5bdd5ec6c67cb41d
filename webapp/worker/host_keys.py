"""When a host cannot be reached, find out whether it shows an SSH key that is not pinned: that is a hard stop."""

import structlog
from sqlalchemy.orm import Session, sessionmaker

from webapp.gateways import ssh_keys
from webapp.models import Host
from webapp.services import host_changes, hosts
from webapp.services.errors import HostNotFound

WORDS = "The host shows another SSH key than the pinned one."

log = structlog.get_logger(__name__)


def refused(sessions: sessionmaker[Session], host_name: str) -> bool:
    """Whether the host shows none of its pinned keys; it is then held, with an alert, until somebody has looked at it.

    Asked apart from the run: what OpenSSH said there is lost where a task hides its output.
    """
    with sessions() as session:
        try:
            host = hosts.by_name(session, host_name)
        except HostNotFound:
            return False
        if host.key_refused_at is None and not shows_another_key(host):
            return False
        if host_changes.refuse_key(session, host.id):
            log.error("host_key_refused", host=host_name)
        session.commit()
        return True


def shows_another_key(host: Host) -> bool:
    """It answers, and with none of the pinned keys."""
    if host.address is None:
        return False
    shown = ssh_keys.scan(host.address, host.ssh_port)
    return bool(shown) and not set(shown) & set(host.host_keys)
