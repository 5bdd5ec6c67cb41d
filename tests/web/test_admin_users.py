"""What admins do with users: plan, role, ban, address, delete and take back, look as somebody."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.browser.scripted_worker import ScriptedWorker
from tests.web.conftest import PASSWORD, Browser, password_of
from webapp.models import AuditEvent, Database, QueuedMail, User, UserDeletion
from webapp.services import api_keys, user_deletions, users
from webapp.services.actors import SYSTEM


def user_of(session: Session, browser: Browser) -> User:
    session.expire_all()
    assert browser.user is not None
    return session.get_one(User, browser.user.id)


def act(root: Browser, browser: Browser, change: str, **form: str) -> int:
    assert browser.user is not None
    return root.post(f"/admin/users/{browser.user.id}/{change}", **form).status_code


def actions(session: Session) -> list[str]:
    return list(session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))


def test_users_are_found_by_address_plan_and_state(root: Browser, alice: Browser, bob: Browser) -> None:
    assert act(root, bob, "ban", reason="spam") == 303
    assert act(root, alice, "plan", plan="pro") == 303
    everybody = root.page("/admin/users")
    assert {"alice@example.com", "bob@example.com", "root@example.com"} <= set(everybody.split('"')) | set(
        everybody.replace("<", ">").split(">")
    )
    for query, name in (
        ("search=ALI", "alice"),
        ("plan=pro", "alice"),
        ("state=banned", "bob"),
        ("state=admin", "root"),
    ):
        page = root.page(f"/admin/users?{query}")
        listed = [each for each in ("alice", "bob", "root") if f">{each}@example.com</a>" in page]
        assert listed == [name], query
    assert "Nobody matches" in root.page("/admin/users?search=%25")


def test_a_plan_is_given_and_a_wrong_one_refused(root: Browser, alice: Browser, session: Session) -> None:
    assert act(root, alice, "plan", plan="pro") == 303
    assert user_of(session, alice).plan == "pro"
    assert act(root, alice, "plan", plan="nonsense") == 400
    assert "user.change_plan" in actions(session)


def test_a_ban_ends_sessions_and_keys_and_is_lifted(
    root: Browser, alice: Browser, shop: Database, session: Session
) -> None:
    key = api_keys.create_key(session, SYSTEM, user_of(session, alice))
    session.commit()
    assert act(root, alice, "ban", reason="spam") == 303
    assert alice.get("/databases").status_code == 303
    assert alice.sign_in("alice@example.com").status_code == 401
    headers = {"Authorization": f"Bearer {key.secret}"}
    assert alice.client.get("/api/v1/databases", headers=headers).status_code == 401
    session.refresh(shop)
    assert shop.status == "active"
    assert act(root, alice, "unban") == 303
    assert alice.sign_in("alice@example.com").status_code == 303
    assert {"user.ban", "user.unban"} <= set(actions(session))


def test_an_admin_is_made_and_unmade_but_never_the_last(root: Browser, alice: Browser, session: Session) -> None:
    assert act(root, root, "role", role="user") == 409
    assert act(root, alice, "role", role="admin") == 303
    assert alice.get("/admin").status_code == 200
    assert act(root, alice, "role", role="user") == 303
    assert alice.get("/admin").status_code == 404
    assert act(root, root, "ban") == 409
    assert act(root, root, "delete", confirmation="root@example.com") == 409


def test_an_address_is_changed(root: Browser, alice: Browser, bob: Browser, session: Session) -> None:
    assert act(root, alice, "email", email="new@example.com") == 303
    assert user_of(session, alice).email == "new@example.com"
    [told] = session.scalars(select(QueuedMail))
    assert (told.recipient, "new@example.com" in told.text) == ("alice@example.com", True)
    assert act(root, alice, "email", email="bob@example.com") == 409
    assert act(root, alice, "email", email="nonsense") == 400


@pytest.fixture
def deleted(root: Browser, alice: Browser, shop: Database, worker: ScriptedWorker) -> Browser:
    """Alice, deleted with her database."""
    assert act(root, alice, "delete", confirmation="someone@example.com") == 400
    assert act(root, alice, "delete", confirmation="alice@example.com") == 303
    worker.play_all()
    return alice


def test_deleting_locks_out_and_stops_the_databases(
    root: Browser, deleted: Browser, shop: Database, session: Session
) -> None:
    assert deleted.get("/databases").status_code == 303
    assert deleted.sign_in("alice@example.com", PASSWORD).status_code == 401
    session.refresh(shop)
    assert (shop.status, shop.deleted_at) == ("stopped", None)
    assert "Everything is kept until" in root.page(f"/admin/users/{deleted.user.id}")  # type: ignore[union-attr]


def test_a_deletion_is_taken_back(
    root: Browser, deleted: Browser, shop: Database, session: Session, worker: ScriptedWorker
) -> None:
    session.refresh(shop)
    password = password_of(shop)
    assert act(root, deleted, "undelete") == 303
    worker.play_all()
    session.expire_all()
    assert shop.status == "active"
    assert password_of(shop) == password
    assert deleted.sign_in("alice@example.com").status_code == 303
    assert ">Shop</a>" in deleted.page("/databases")
    assert act(root, deleted, "undelete") == 409


def test_what_was_stopped_before_stays_stopped(
    root: Browser, alice: Browser, shop: Database, session: Session, worker: ScriptedWorker
) -> None:
    alice.post(f"/databases/{shop.id}/stop")
    worker.play_all()
    assert act(root, alice, "delete", confirmation="alice@example.com") == 303
    worker.play_all()
    assert act(root, alice, "undelete") == 303
    worker.play_all()
    session.refresh(shop)
    assert shop.status == "stopped"


def test_when_the_time_is_over_all_of_it_goes(
    root: Browser, deleted: Browser, shop: Database, session: Session, worker: ScriptedWorker
) -> None:
    assert user_deletions.purge(session) == 0
    session.get_one(UserDeletion, user_of(session, deleted).id).purge_at = datetime.now(UTC) - timedelta(seconds=1)
    session.commit()
    assert act(root, deleted, "undelete") == 409
    assert user_deletions.purge(session) == 0
    session.commit()
    worker.play_all()
    session.refresh(shop)
    assert shop.deleted_at is not None
    assert user_deletions.purge(session) == 1
    session.commit()
    assert users.by_email(session, "alice@example.com") is None
    gone = user_of(session, deleted)
    assert (gone.password_hash, gone.email) == (None, f"deleted-{gone.id}@deleted.invalid")
    assert user_deletions.purge(session) == 0


def test_databases_are_handed_over(
    root: Browser, alice: Browser, bob: Browser, shop: Database, session: Session
) -> None:
    form = {"confirmation": "alice@example.com"}
    assert act(root, alice, "delete", heir="nobody@example.com", **form) == 400
    assert act(root, alice, "delete", heir="bob@example.com", **form) == 303
    session.refresh(shop)
    assert (shop.status, shop.owner_id) == ("active", user_of(session, bob).id)
    assert ">Shop</a>" in bob.page("/databases")


def test_looking_as_somebody_shows_and_changes_nothing(
    root: Browser, alice: Browser, shop: Database, session: Session
) -> None:
    assert act(root, alice, "view") == 303
    page = root.page("/databases")
    assert "You are looking at DBHost as <strong>alice@example.com</strong>" in page
    assert ">Shop</a>" in page
    detail = root.page(f"/databases/{shop.id}")
    assert password_of(shop) not in detail
    assert "Danger zone" not in detail
    assert root.get("/admin").status_code == 404
    for path in (f"/databases/{shop.id}/credentials", f"/databases/{shop.id}/stop", "/databases", "/settings/api-keys"):
        assert root.post(path, display_name="X", label="x").status_code == 403, path
    assert root.get(f"/databases/{shop.id}/delete").status_code == 404
    session.refresh(shop)
    assert shop.status == "active"
    assert root.post("/viewing/stop").status_code == 303
    assert root.get("/admin").status_code == 200
    assert root.post("/viewing/stop").status_code == 404
    assert actions(session)[-2:] == ["user.view_as", "user.end_view_as"]


def test_nobody_looks_as_an_admin_and_no_admin_no_longer_looks(
    root: Browser, alice: Browser, bob: Browser, session: Session
) -> None:
    assert act(root, root, "view") == 409
    user_of(session, bob).platform_role = "admin"
    session.commit()
    assert act(bob, alice, "view") == 303
    user_of(session, bob).platform_role = "user"
    session.commit()
    assert bob.get("/databases").status_code == 303
    assert bob.get("/databases").headers["Location"].startswith("/sign-in")
