"""Checks of hosts as the worker would have kept them."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from webapp.models import Database, Host
from webapp.services import drift
from webapp.services.drift import Finding, Findings
from webapp.services.leases import Lease

ALTERED = 'ALTER ROLE "shop" CONNECTION LIMIT 40'


def lease(session: Session, host: Host) -> Lease:
    """The lease on *host*, whose check is due from now on."""
    drift.ask_for_check(session, host.id)
    session.execute(text("UPDATE host_checks SET leased_until = NULL, next_check_at = now() - interval '2 hours'"))
    [taken] = [one for one in drift.take_due(session, 3600, 60, 100) if one.host_id == host.id]
    session.commit()
    return taken


def keep(session: Session, host: Host, *found: Finding, looked_at: tuple[Database, ...] = ()) -> None:
    """Keep *found* as what the newest check of *host* saw."""
    generations: dict[str, int | None] = {database.name: database.generation for database in looked_at}
    assert drift.keep(session, lease(session, host), Findings(generations, list(found)))
    session.commit()
    session.expire_all()


def altered(database: Database, *sentences: str) -> Finding:
    """Somebody altered the database's role by hand."""
    return Finding("database", database.name, list(sentences or (ALTERED,)))


def stranger(name: str = "helper") -> Finding:
    """A role that nobody knows."""
    return Finding("stranger", f"roles: {name}", [f'The role "{name}" (may log in) is known to nobody.'], False)


FILES = Finding("files", "PgBouncer's files", ["Restore hba.conf"])
