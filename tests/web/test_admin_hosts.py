"""The pages of hosts; who may see them is in test_admin.py."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from tests.services.test_host_changes import KEY, spec
from tests.support.reports import keep, make_report
from tests.web.conftest import Browser
from tests.web.test_pages import check
from webapp.config import settings
from webapp.models import Database
from webapp.services import host_changes, host_details, hosts
from webapp.services.actors import SYSTEM
from webapp.services.host_keys import check_key, fingerprint


def test_the_list(root: Browser, shop: Database, session: Session) -> None:
    keep(session, hosts.by_name(session, "local"), make_report())
    host_changes.begin_enrolment(session, SYSTEM, spec(region="eu-1"))
    session.commit()
    page = root.page("/admin/hosts")
    for word in ("local", "1 / 5000", "PostgreSQL 18.0", "db9", "Enrolling", "eu-1"):
        assert word in page
    check(page, "/admin/hosts")


def test_backups_on_the_hosts_own_disks_are_named(
    root: Browser, shop: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    warning = host_details.backups_at_risk()
    assert warning is not None
    assert warning in root.page("/admin/hosts")
    monkeypatch.setattr(settings(), "s3_bucket", "backups")
    assert host_details.backups_at_risk() is None
    assert "Backups are lost with their host" not in root.page("/admin/hosts")


def test_one_host(root: Browser, shop: Database, session: Session) -> None:
    host = host_changes.begin_enrolment(session, SYSTEM, spec())
    host_changes.finish_enrolment(session, SYSTEM, host)
    keep(session, host, make_report())
    host_changes.begin_enrolment(session, SYSTEM, spec(capacity=7))
    session.commit()
    page = root.page("/admin/hosts/db9")
    for word in ("192.0.2.9:22", fingerprint(check_key(KEY)), "The enrolment has not ended", "Nothing waits", "1.24.1"):
        assert word in page
    check(page, "/admin/hosts/db9")
    assert root.get("/admin/hosts/db8").status_code == 404


def test_states(root: Browser, shop: Database, session: Session) -> None:
    assert "data-dialog" in root.page("/admin/hosts/local")
    assert "Nothing is carried out" in root.page("/admin/hosts/local/offline")
    assert root.post("/admin/hosts/local/offline").status_code == 303
    page = root.page("/admin/hosts/local")
    assert "local is offline" in page
    assert "The host is offline" in page
    assert "Took offline the host" in page
    assert root.post("/admin/hosts/local/offline").status_code == 303
    root.post("/admin/hosts/local/activate")
    assert hosts.place(session).name == "local"


def test_what_waits_is_shown(alice: Browser, root: Browser, shop: Database) -> None:
    root.post("/admin/hosts/local/offline")
    alice.post(f"/databases/{shop.id}/stop")
    page = root.page("/admin/hosts/local")
    assert "The host is held." in page
    assert "shop" in page


def test_a_refused_key_is_said_with_what_to_do(root: Browser, shop: Database, session: Session) -> None:
    host = hosts.by_name(session, "local")
    host.key_refused_at = datetime.now(UTC)
    session.commit()
    page = root.page("/admin/hosts/local")
    assert "another SSH key than the pinned one" in page
    assert "dbhost host rekey local" in page
    root.post("/admin/hosts/local/drain")
    refused = root.post("/admin/hosts/local/activate")
    assert refused.status_code == 409
    assert "This was not done" in refused.get_data(as_text=True)
    assert "another SSH key" in root.page("/admin")
