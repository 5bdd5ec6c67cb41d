"""The panel's lists: databases, operations, the audit log with its files, settings without secrets."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from tests.web.conftest import Browser
from webapp.models import AuditEvent, Database, Operation


def test_everybody_s_databases_are_found_by_name_owner_status_and_host(root: Browser, shop: Database) -> None:
    for query in ("", "?search=SHO", "?search=alice@", "?state=active&host=local", "?state=nonsense"):
        assert f"/databases/{shop.id}" in root.page(f"/admin/databases{query}"), query
    for query in ("?search=nothing", "?state=stopped", "?host=elsewhere", "?state=deleted", "?search=%25"):
        assert f"/databases/{shop.id}" not in root.page(f"/admin/databases{query}"), query


def test_operations_are_filtered_retried_and_cancelled(root: Browser, shop: Database, session: Session) -> None:
    operation = session.query(Operation).one()
    address = f"/operations/{operation.id}"
    assert address in root.page("/admin/operations?state=succeeded&kind=database.create&host=local&search=sho")
    assert '<option value="backup.create">Backup</option>' in root.page("/admin/operations")
    assert address not in root.page("/admin/operations?state=failed")
    assert root.post(f"/admin/operations/{operation.id}/retry").status_code == 409
    operation.state = "failed"
    session.commit()
    assert root.post(f"/admin/operations/{operation.id}/retry").status_code == 303
    session.refresh(operation)
    assert operation.state == "queued"
    assert root.post(f"/admin/operations/{operation.id}/cancel").status_code == 303


def test_the_audit_log_is_filtered(root: Browser, alice: Browser, shop: Database, session: Session) -> None:
    today, tomorrow = datetime.now(UTC).date(), datetime.now(UTC).date() + timedelta(days=1)
    row = '<span class="wrap">shop</span>'
    for query in (f"who=alice&since={today}&until={today}", "action=database.create", "subject=SHOP", "since=nonsense"):
        assert row in root.page(f"/admin/audit-log?{query}"), query
    for query in (f"since={tomorrow}", "who=bob", "action=user.create", "subject=%25"):
        assert row not in root.page(f"/admin/audit-log?{query}"), query


def test_the_audit_log_is_exported_whole_and_harmless(root: Browser, alice: Browser, session: Session) -> None:
    many = [
        AuditEvent(actor_type="system", actor_label="system", action="test.many", subject=f"=cmd{number}")
        for number in range(1500)
    ]
    session.add_all(many)
    session.commit()
    answer = root.get("/admin/audit-log/export.csv?action=test.many")
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=audit-log-")
    rows = list(csv.DictReader(io.StringIO(answer.get_data(as_text=True))))
    assert [row["subject"] for row in rows] == [f"'=cmd{number}" for number in range(1500)]
    lines = root.get("/admin/audit-log/export.json?action=audit.export").get_data(as_text=True).splitlines()
    first = json.loads(lines[0])
    assert (first["actor_label"], first["subject"]) == ("root@example.com", "csv")
    assert first["details"] == {"action": "test.many"}
    assert alice.get("/admin/audit-log/export.csv").status_code == 404
    assert root.get("/admin/audit-log/export.exe").status_code == 404


def test_settings_are_shown_without_secrets(root: Browser, control_url: str) -> None:
    page = root.page("/admin/settings")
    assert "DBHOST_DEFAULT_PLAN" in page
    assert control_url not in page
    assert "STRIPE_API_KEY" in page
    assert ">test<" not in page
