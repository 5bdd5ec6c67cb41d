"""A change by plain ansible-playbook comes into the host's journal, and from there into the audit log, once."""

import getpass
import json
import uuid

import pytest
import yaml
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


def test_backups_and_restores_by_hand_are_known_too(dataplane: DataPlane, shop: str) -> None:
    before = len(lines(dataplane))
    backup = {"name": shop, "folder": str(uuid.uuid4()), "filename": "20261124_020000.sql.gz"}
    second = {**backup, "filename": "20261124_030000.sql.gz"}
    source = {"kind": "host", "folder": backup["folder"], "filename": backup["filename"]}
    restore = {"name": shop, "into": "replace", "source": source}
    for options in (["--check"], [], []):  # the second run of a backup changes nothing, so it is no event
        for playbook, given in (
            ("backup.yml", {"tenant_backup": backup}),
            ("backups.yml", {"tenant_backups": [backup, second]}),
        ):
            assert play(dataplane, playbook, given, *options) == 0
    assert play(dataplane, "restore.yml", {"tenant_restore": restore}, "--check") == 0
    assert play(dataplane, "restore.yml", {"tenant_restore": restore}) == 0
    assert (
        play(dataplane, "backup.yml", {"tenant_backup": {**backup, "name": "nobody-here", "folder": str(uuid.uuid4())}})
        == 2
    )  # failed
    told = lines(dataplane)[before:]
    assert [(line["playbook"], line["database"], line["error"] is None) for line in told] == [
        ("backup.yml", shop, True), ("backups.yml", shop, True), ("restore.yml", shop, True),
        ("backup.yml", "nobody-here", False),
    ]  # fmt: skip
    assert [line["changes"] for line in told[:2]] == [[f"Back up to {each['filename']}"] for each in (backup, second)]
    assert f"Put it in the place of {shop}" in told[2]["changes"]  # type: ignore[operator]


def test_a_backup_of_the_control_plane_is_in_no_journal(
    dataplane: DataPlane, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(lines(dataplane))
    monkeypatch.setattr(dataplane, "environment", {"DBHOST_RUN_RECORDED": "1"})
    backup = {"name": shop, "folder": str(uuid.uuid4()), "filename": "20261124_020000.sql.gz"}
    assert play(dataplane, "backup.yml", {"tenant_backup": backup}) == 0
    assert len(lines(dataplane)) == before


def play(dataplane: DataPlane, playbook: str, given: dict[str, object], *options: str) -> int:
    variables = dataplane.folder / "given.yml"
    variables.write_text(yaml.safe_dump(given))
    done = dataplane.run_playbook(playbook, *options, "-e", f"@{variables}")
    print(done.stdout)  # shown when a test fails
    return done.returncode
