"""Tell platform admins, once, that a host is not well: by webhook and by mail."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from webapp.models import Host, User
from webapp.services import health, hosts, mails, outbox, webhooks

# A host that is restarted, or reports late once, is no news; nor is one that is well for a moment.
CONFIRMED_AFTER = timedelta(minutes=2)
WELL_AFTER = timedelta(minutes=10)
LOOKED_AFTER = ("active", "draining")


def tell(session: Session) -> int:
    """Look at each host that is to be well; how many the admins were told of. The caller commits."""
    by_name = {host.name: host for host in session.scalars(select(Host).where(hosts.live()))}
    told = 0
    for figures in health.host_figures(session, Host.state.in_(LOOKED_AFTER)):
        told += look(session, by_name[figures.name], figures.problems, datetime.now(UTC))
    return told


def look(session: Session, host: Host, problems: list[str], now: datetime) -> bool:
    """Note how the host is; whether that was news, and told."""
    if not problems:
        _is_well(host, now)
        return False
    host.well_since = None
    host.unhealthy_since = host.unhealthy_since or now
    if host.unhealthy_told_at is not None or now - host.unhealthy_since < CONFIRMED_AFTER:
        return False
    host.unhealthy_told_at = now
    webhooks.publish(session, "host.unhealthy", host=host, details={"problems": problems})
    for email in session.scalars(select(User.email).where(User.platform_role == "admin", User.state == "active")):
        outbox.queue(session, mails.host_unhealthy(email, host.name, problems))
    return True


def _is_well(host: Host, now: datetime) -> None:
    if host.unhealthy_since is None:
        return
    host.well_since = host.well_since or now
    if host.unhealthy_told_at is None or now - host.well_since >= WELL_AFTER:
        host.unhealthy_since = host.unhealthy_told_at = host.well_since = None
