"""Operation pages, cancel and retry, and the stream that shows the steps."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.browser.scripted_worker import STEPS, ScriptedWorker
from tests.web.conftest import Browser
from webapp.models import Database, Operation
from webapp.web.words import step_words


@pytest.fixture
def stopping(session: Session, alice: Browser, shop: Database) -> Operation:
    """Alice's queued stop."""
    alice.post(f"/databases/{shop.id}/stop")
    return session.scalars(select(Operation).where(Operation.state == "queued")).one()


def test_it_works(alice: Browser, worker: ScriptedWorker, stopping: Operation) -> None:
    assert "Waiting for the host" in alice.page(f"/operations/{stopping.id}")
    worker.play_all()
    page = alice.page(f"/operations/{stopping.id}")
    assert "Database stopped" in page
    assert all(step.replace("'", "&#39;") in page for step in STEPS)


def test_ansible_s_own_check_is_named_plainly() -> None:
    assert step_words("Validating arguments against arg spec 'main' - Tenant roles") == "Check the role's arguments"
    assert step_words("Ensure tenant roles and databases") == "Ensure tenant roles and databases"


def test_the_list_filters_by_state(alice: Browser, stopping: Operation) -> None:
    assert f"/operations/{stopping.id}" in alice.page("/operations?state=queued")
    assert f"/operations/{stopping.id}" not in alice.page("/operations?state=succeeded")


def test_the_stream_tells_each_step_and_ends(alice: Browser, worker: ScriptedWorker, stopping: Operation) -> None:
    worker.step_s = 0.1
    worker.start()
    response = alice.get(f"/operations/{stopping.id}/events")
    messages = [message for message in response.get_data(as_text=True).split("\n\n") if message]
    worker.stop()
    assert response.mimetype == "text/event-stream"
    assert "Stopping the database" in messages[0]
    assert len(messages) > 4
    assert "Database stopped" in messages[-2]
    assert messages[-1] == "event: ended\ndata: ended"


def test_the_stream_of_an_ended_operation_ends_at_once(
    alice: Browser, worker: ScriptedWorker, stopping: Operation
) -> None:
    worker.play_all()
    text = alice.get(f"/operations/{stopping.id}/events").get_data(as_text=True)
    assert text.count("\n\n") == 2


def test_cancel_before_it_began(session: Session, alice: Browser, stopping: Operation) -> None:
    assert alice.post(f"/operations/{stopping.id}/cancel").status_code == 303
    assert "Stop was cancelled" in alice.page(f"/operations/{stopping.id}")
    session.refresh(stopping)
    assert stopping.state == "cancelled"


def test_what_has_ended_cannot_be_cancelled_or_retried(
    alice: Browser, worker: ScriptedWorker, stopping: Operation
) -> None:
    worker.play_all()
    for verb, reason in (("cancel", "already ended"), ("retry", "Only a failed or cancelled operation")):
        response = alice.post(f"/operations/{stopping.id}/{verb}")
        assert response.status_code == 409
        assert reason in response.get_data(as_text=True)


def test_a_stranger_sees_nothing(bob: Browser, stopping: Operation) -> None:
    assert "No operations" in bob.page("/operations")
    for path in (f"/operations/{stopping.id}", f"/operations/{stopping.id}/events"):
        assert bob.get(path).status_code == 404
    assert bob.post(f"/operations/{stopping.id}/cancel").status_code == 404


def test_an_admin_sees_it(root: Browser, stopping: Operation) -> None:
    assert f"/operations/{stopping.id}" in root.page("/operations")
