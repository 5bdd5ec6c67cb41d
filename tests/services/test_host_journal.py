"""What a host says of changes by hand: kept once, and never more than it may be."""

import json
import uuid
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from agent_modules.module_utils.dbhost import journal
from webapp.models import AuditEvent, Database, Host
from webapp.services import host_journal
from webapp.services.reports import Journal


def entry(**values: Any) -> dict[str, Any]:
    made = journal.entry("alice@laptop", "databases.yml", {"name": "shop", "state": "present", "changes": ["ALTER"]})
    return {**made, **values}


def events(session: Session) -> list[AuditEvent]:
    return list(session.scalars(select(AuditEvent).where(AuditEvent.action == "database.playbook")))


def test_an_entry_becomes_an_event(session: Session, host: Host, shop: Database) -> None:
    host_journal.keep(session, host.id, Journal(entries=[entry()], read_to=181))
    session.commit()
    [event] = events(session)
    assert (event.actor_type, event.actor_label) == ("system", "operator alice@laptop")
    assert (event.subject, event.database_id, event.details["changes"]) == ("shop", shop.id, ["ALTER"])
    assert host_journal.read_to(session, host.id) == 181


def test_what_makes_no_sense_is_left_out(session: Session, host: Host) -> None:
    bad = [1, {}, entry(who="x" * 999), entry(database="a\0b"), entry(id="x"), entry(changes=["y"] * 999)]
    host_journal.keep(session, host.id, Journal(entries=[*bad, entry(database="stranger")], read_to=9))
    session.commit()
    [event] = events(session)
    assert (event.subject, event.database_id) == ("stranger", None)


def test_a_journal_is_read_in_parts_and_every_line_once(tmp_path: Path) -> None:
    written = [entry(database=f"db-{number}", changes=["x" * 300] * 20) for number in range(30)]
    journal.append(tmp_path, written[:10])
    journal.append(tmp_path, written[10:])
    found, after, parts = [], 0, 0
    while (part := journal.read(tmp_path, after))["entries"]:
        found += part["entries"]
        after, parts = part["read_to"], parts + 1
    assert found == written
    assert parts > 1
    assert after == (tmp_path / journal.NAME).stat().st_size


def test_half_a_line_waits_and_a_broken_one_stops_nothing(tmp_path: Path) -> None:
    path = tmp_path / journal.NAME
    whole = json.dumps(entry())
    path.write_text(f"not json\n[1]\n{whole}\n{whole[:50]}")
    part = journal.read(tmp_path, 0)
    assert (part["entries"], part["read_to"]) == ([json.loads(whole)], len(f"not json\n[1]\n{whole}\n"))
    path.write_bytes(b"x" * (3 * journal.READ_BYTES) + b"\n" + whole.encode() + b"\n")
    found, after = [], 0
    for _ in range(5):
        part = journal.read(tmp_path, after)
        found, after = found + part["entries"], part["read_to"]
    assert found == [json.loads(whole)]


def test_another_file_is_read_from_its_start(tmp_path: Path) -> None:
    assert journal.read(tmp_path, 500) == {"entries": [], "read_to": 0}
    journal.append(tmp_path, [entry()])
    assert len(journal.read(tmp_path, 10**9)["entries"]) == 1
    assert (tmp_path / journal.NAME).stat().st_mode & 0o777 == 0o640


def test_much_is_said_in_short() -> None:
    made = journal.entry("x" * 999, "databases.yml", {"name": "shop", "changes": [str(uuid.uuid4()) * 99] * 50})
    assert len(made["changes"]) == journal.MOST_CHANGES + 1
    assert made["changes"][-1] == "and 30 more"
    assert len(json.dumps(made)) < journal.READ_BYTES
