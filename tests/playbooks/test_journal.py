"""A change by plain ansible-playbook comes into the host's journal, and from there into the audit log, once."""

import getpass
import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.support.ansible_output import told
from tests.support.dataplane import DataPlane, verifier
from tests.support.rows import make_database, make_host, make_user
from webapp.models import AuditEvent
from webapp.services import host_journal
from webapp.services.reports import Report


def lines(dataplane: DataPlane) -> list[dict[str, object]]:
    path = dataplane.state_dir / "journal.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(dataplane: DataPlane, after: int) -> Report:
    run = dataplane.run_playbook("report.yml", "-v", "-e", f"report_journal_after={after}")
    return Report.model_validate(told(run.stdout, "Report the host")["report"])


def test_who_changed_what_is_known_to_the_control_plane(dataplane: DataPlane, shop: str, session: Session) -> None:
    before = len(lines(dataplane))
    read_to = (dataplane.state_dir / "journal.jsonl").stat().st_size if before else 0
    item = {"name": shop, "generation": 2, "verifier": verifier("secret"), "connection_limit": 7}
    assert dataplane.playbook([item], "--check").returncode == 0
    assert len(lines(dataplane)) == before
    assert dataplane.playbook([item]).returncode == 0
    assert dataplane.playbook([item]).returncode == 0  # changes nothing, so it is no event
    refused = dataplane.playbook([{**item, "generation": 1}])
    assert refused.returncode != 0
    changed, failed = lines(dataplane)[before:]
    assert str(changed["who"]).startswith(f"{getpass.getuser()}@")
    assert (changed["database"], changed["playbook"], changed["error"]) == (shop, "databases.yml", None)
    assert any("7" in change for change in changed["changes"])  # type: ignore[attr-defined]
    assert failed["error"]
    assert "SCRAM-SHA-256$" not in (dataplane.state_dir / "journal.jsonl").read_text()
    assert (dataplane.state_dir / "journal.jsonl").owner() == dataplane.user

    host = make_host(session, "db1")
    host.journal_read_to = read_to
    database = make_database(session, host, make_user(session), name=shop)
    session.commit()
    for entries in (2, 0):
        found = report(dataplane, host_journal.read_to(session, host.id)).journal
        assert found is not None
        assert len(found.entries) == entries
        host_journal.keep(session, host.id, found)
        session.commit()
    events = session.scalars(select(AuditEvent).order_by(AuditEvent.id)).all()
    assert [(event.action, event.subject, event.database_id) for event in events] == [
        ("database.playbook", shop, database.id)
    ] * 2
    assert events[0].actor_label == f"operator {changed['who']}"
    assert events[0].details["changes"] == changed["changes"]
