"""/webhooks: endpoints, their secrets, and their log; the command that speaks it."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session
from standardwebhooks import Webhook

from tests.api.commands import run
from tests.api.conftest import Caller, missing_id, problem
from webapp.gateways.outgoing import Answer
from webapp.models import AuditEvent
from webapp.services import webhook_deliveries

PATH = "/api/v1/webhooks"
BODY = {"url": "https://example.com/hook", "events": ["backup.failed", "database.created"]}


def carry_out(session: Session, answer: Answer) -> webhook_deliveries.Parcel:
    """What the courier does, without the network."""
    session.rollback()
    parcel = webhook_deliveries.take(session)
    assert parcel is not None
    assert webhook_deliveries.finish(session, parcel, answer)
    session.commit()
    return parcel


def test_it_works(alice: Caller, session: Session) -> None:
    response = alice.post(PATH, BODY)
    assert response.status_code == 201, response.get_data(as_text=True)
    made = response.get_json()
    secret = made.pop("secret")
    assert made == {
        "id": made["id"], "url": BODY["url"], "events": ["database.created", "backup.failed"], "state": "active",
        "disabledReason": None, "failingSince": None, "oldSecretEndsAt": None, "createdAt": made["createdAt"],
    }  # fmt: skip
    path = f"{PATH}/{made['id']}"
    assert alice.get(PATH).get_json() == {"data": [made]}
    assert alice.get(path).get_json() == made

    sent = alice.post(f"{path}/test")
    assert sent.status_code == 202
    parcel = carry_out(session, Answer(503, "Answered 503.", 7, "Later"))
    Webhook(secret).verify(parcel.body.decode(), parcel.headers())
    [listed] = alice.get(f"{path}/deliveries").get_json()["data"]
    assert (listed["state"], listed["statusCode"], listed["error"]) == ("failed", 503, "Answered 503.")
    shown = alice.get(f"{path}/deliveries/{listed['id']}").get_json()
    assert shown["payload"]["type"] == "webhook.test"
    assert [(one["number"], one["response"]) for one in shown["attempts"]] == [(1, "Later")]
    again = alice.post(f"{path}/deliveries/{listed['id']}/resend").get_json()
    assert (again["messageId"], again["state"]) == (listed["messageId"], "queued")
    assert again["id"] != listed["id"]

    rotated = alice.post(f"{path}/rotate-secret", {}).get_json()
    assert rotated["secret"] != secret
    assert rotated["oldSecretEndsAt"]
    disabled = alice.patch(path, {"state": "disabled", "events": ["backup.failed"]}).get_json()
    assert (disabled["state"], disabled["events"]) == ("disabled", ["backup.failed"])
    problem(alice.post(f"{path}/test"), 409, "CONFLICT")
    assert alice.patch(path, {"state": "active"}).get_json()["state"] == "active"
    assert alice.delete(path).status_code == 204
    problem(alice.get(path), 404, "NOT_FOUND")
    told = session.scalars(select(AuditEvent.action).where(AuditEvent.action.startswith("webhook."))).all()
    assert {"webhook.create", "webhook.test", "webhook.resend", "webhook.rotate_secret"} <= set(told)


def test_the_same_key_adds_once_and_shows_the_same_secret(alice: Caller) -> None:
    first, again = (alice.post(PATH, BODY, headers={"Idempotency-Key": "k1"}).get_json() for _ in range(2))
    assert first == again
    assert len(alice.get(PATH).get_json()["data"]) == 1


def test_refusals(alice: Caller, bob: Caller) -> None:
    refused = problem(alice.post(PATH, {**BODY, "url": "http://example.com"}), 400, "VALIDATION_ERROR")
    assert refused["errors"] == {"url": ["Use an https address."]}
    problem(alice.post(PATH, {**BODY, "events": []}), 400, "VALIDATION_ERROR")
    problem(alice.post(PATH, {**BODY, "events": ["host.unhealthy"]}), 400, "VALIDATION_ERROR")
    problem(alice.post(PATH, {**BODY, "events": ["backup.fialed"]}), 400, "VALIDATION_ERROR")
    path = f"{PATH}/{alice.post(PATH, BODY).get_json()['id']}"
    problem(alice.get(f"{path}/deliveries/{missing_id()}"), 404, "NOT_FOUND")
    problem(bob.post(f"{path}/rotate-secret", {}), 404, "NOT_FOUND")


@pytest.mark.usefixtures("logged_in")
def test_the_command() -> None:
    made = run("webhooks", "create", str(BODY["url"]), "--event", "backup.failed")
    assert made.exit_code == 0, made.output
    assert made.stdout.startswith("whsec_")
    endpoint = made.stderr.split()[1].rstrip(".")
    assert endpoint in run("webhooks", "list").stdout
    assert "backup.failed" in run("webhooks", "show", endpoint).stdout
    assert "storage.warning" in run("webhooks", "events").stdout
    changed = run("webhooks", "update", endpoint, "--event", "database.deleted").stdout
    assert "database.deleted" in changed
    assert run("webhooks", "rotate-secret", endpoint, "--end-old").stdout.startswith("whsec_")
    sent = run("webhooks", "test", endpoint)
    assert sent.exit_code == 0, sent.output
    delivery = sent.stdout.strip()
    assert delivery in run("webhooks", "deliveries", endpoint).stdout
    assert run("webhooks", "resend", endpoint, delivery).exit_code == 0
    assert "disabled" in run("webhooks", "disable", endpoint).stdout
    assert run("webhooks", "test", endpoint).exit_code == 5
    assert "active" in run("webhooks", "enable", endpoint).stdout
    assert run("webhooks", "delete", endpoint, typed="n\n").exit_code == 1
    assert run("webhooks", "delete", endpoint, "--yes").exit_code == 0
    assert run("webhooks", "list").stderr.strip() == "No endpoints."
