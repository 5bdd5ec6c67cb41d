"""What has to be true after rest, whatever was broken meanwhile."""

import re

import psycopg

from tests.faults.damage import until
from tests.faults.person import Person
from tests.support.stack import Stack

UNTRUE = """
    SELECT 'operation', kind, request_id FROM operations WHERE request_id = ANY(%(denied)s)
    UNION ALL
    SELECT 'event', action, request_id FROM audit_events WHERE request_id = ANY(%(denied)s)
"""
OPEN = "SELECT id::text, kind, state, error_message FROM operations WHERE state IN ('queued', 'running')"
FAILED = "SELECT id::text, kind, error_code, error_message FROM operations WHERE state = 'failed'"
LOST = """
    SELECT id FROM unnest(%(accepted)s::text[]) AS told (id)
    WHERE NOT EXISTS (SELECT 1 FROM operations WHERE operations.id::text = told.id)
"""


def assert_every_answer_was_true(stack: Stack, people: list[Person]) -> None:
    """No request that was told that nothing had changed has changed anything; what was accepted is there."""
    denied = [each for person in people for each in person.answers.denied]
    accepted = [each for person in people for each in person.answers.accepted]
    with stack.control() as connection:
        assert connection.execute(UNTRUE, {"denied": denied}).fetchall() == []
        assert connection.execute(LOST, {"accepted": accepted}).fetchall() == []


def assert_nothing_is_stuck_and_nobody_innocent_failed(stack: Stack) -> None:
    with stack.control() as connection:
        until("every operation has ended", lambda: connection.execute(OPEN).fetchall() == [])
        assert connection.execute(FAILED).fetchall() == []


def assert_the_api_tells_what_it_acknowledged(people: list[Person]) -> None:
    for person in people:
        rows = person.ask("GET", "/databases?limit=100", 200).json()["data"]
        assert {row["name"]: (row["status"], row["displayName"]) for row in rows} == {
            name: (known.status, known.title) for name, known in person.databases.items()
        }
        for known in person.databases.values():
            listed = person.ask("GET", f"/databases/{known.id}/allowlist", 200).json()["data"]
            assert [entry["cidr"] for entry in listed] == known.networks
            protection = person.ask("GET", f"/databases/{known.id}/delete-protection", 200).json()
            assert protection["enabled"] is known.is_protected
            kept = {each["filename"] for each in person.ask("GET", f"/databases/{known.id}/backups", 200).json()}
            assert set(known.backups) <= kept
        hooks = person.ask("GET", "/webhooks", 200).json()["data"]
        assert {hook["id"] for hook in hooks} == person.webhooks


def assert_the_host_has_what_has_a_row(stack: Stack, people: list[Person]) -> None:
    """Once the final backups of what was deleted are made, no database or role is there that nobody has."""
    expected = sorted(name for person in people for name in person.databases)
    with stack.provisioner() as connection:

        def names(query: str) -> list[str]:
            return sorted(row[0] for row in connection.execute(query).fetchall())

        held = "SELECT datname FROM pg_database WHERE datname ~ '^dbhost-held-'"
        until("deleted databases are gone", lambda: not names(held))
        assert names("SELECT datname FROM pg_database WHERE datname ~ '^faults'") == expected
        assert names("SELECT rolname FROM pg_roles WHERE rolname ~ '^(faults|dbhost-held-)'") == expected
    served = re.findall(r"^(faults\S+) = ", (stack.home / "pgbouncer/databases.ini").read_text(encoding="utf-8"), re.M)
    active = [name for person in people for name, known in person.databases.items() if known.status == "active"]
    assert sorted(served) == sorted(active)


def gets_in(url: str, **instead: str) -> bool:
    try:
        with psycopg.connect(psycopg.conninfo.make_conninfo(url, **instead), connect_timeout=30) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def assert_who_is_active_gets_in_and_nobody_else(people: list[Person]) -> None:
    everything = {name: known for person in people for name, known in person.databases.items()}
    for name, known in everything.items():
        assert gets_in(known.url) is known.is_open, name
        assert not any(gets_in(url) for url in known.dead), name
    for (name, known), other in zip(everything.items(), [*list(everything)[1:], *list(everything)[:1]], strict=True):
        assert name == other or not gets_in(known.url, dbname=other), name
    assert not any(gets_in(url) for person in people for url in person.gone)
