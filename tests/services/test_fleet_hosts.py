"""The embedded host beside a fleet: it keeps what it has, and gets nothing new."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from webapp.models import AuditEvent, Host
from webapp.services import hosts
from webapp.services.actors import SYSTEM
from webapp.services.databases import tls_options


def test_new_databases_go_to_the_fleet(session: Session) -> None:
    embedded = hosts.ensure_host(session, SYSTEM, "local", "127.0.0.1", 6432)
    fleet = hosts.ensure_host(session, SYSTEM, "zz-db1", "10.192.0.11", 6432)
    assert hosts.place(session) is embedded
    hosts.drain_embedded(session, SYSTEM)
    assert hosts.place(session) is fleet


def test_draining_twice_is_recorded_once(session: Session) -> None:
    hosts.ensure_host(session, SYSTEM, "local", "127.0.0.1", 6432)
    hosts.drain_embedded(session, SYSTEM)
    hosts.drain_embedded(session, SYSTEM)
    drained = select(func.count()).where(AuditEvent.action == "host.drain")
    assert session.scalar(drained) == 1


def test_another_hosts_state_is_its_operators(session: Session) -> None:
    hosts.drain_embedded(session, SYSTEM)
    assert session.scalar(select(func.count()).select_from(Host)) == 0


def test_what_clients_verify_a_host_by_is_brought_up_to_date(session: Session) -> None:
    hosts.ensure_host(session, SYSTEM, "db1", "db1.example.net", 6432)
    host = hosts.ensure_host(session, SYSTEM, "db1", "db1.example.net", 6432, "ca.crt")
    assert tls_options(host) == {"sslmode": "verify-full", "sslrootcert": "ca.crt"}
    hosts.ensure_host(session, SYSTEM, "db1", "db1.example.net", 6432, "ca.crt")
    updated = select(func.count()).where(AuditEvent.action == "host.update")
    assert session.scalar(updated) == 1
