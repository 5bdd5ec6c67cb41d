"""A subscription's whole life against the stand-in, with the real library; events doubled, shuffled and forged."""

import random
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tests.support.stripe_account import Account, stripe_account
from tests.web.conftest import Browser, Outbox
from webapp.models import AuditEvent, BillingEvent, Database, Subscription, User
from webapp.services import plans, subscriptions
from webapp.services.actors import SYSTEM, Actor
from webapp.services.databases import DatabaseSpec, create_database
from webapp.services.errors import PlanLimitReached

TEAM = """
[team]
title = "Team"
price_cents_a_month = 2000
databases = 10
storage_bytes = 2_147_483_648
api = true
"""


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    """Billing is on, with a plan above Pro that can be bought."""
    with stripe_account() as opened:
        plans_file = tmp_path / "plans.toml"
        plans_file.write_text(plans.PACKAGED.read_text(encoding="utf-8") + TEAM, encoding="utf-8")
        monkeypatch.setenv("DBHOST_PLANS_FILE", str(plans_file))
        monkeypatch.setenv("DBHOST_DEFAULT_PLAN", "free")
        for name, value in opened.settings.items():
            monkeypatch.setenv(name, value)
        yield opened


@pytest.fixture
def customer(alice: Browser, account: Account) -> Browser:
    """Alice, who went to pay and paid; nothing told DBHost of it yet."""
    account.store.pay(go_to_checkout(alice))
    return alice


def go_to_checkout(browser: Browser, plan: str = "pro") -> str:
    """Choose a plan; the id of the Checkout Session that the page leads to."""
    response = browser.post("/settings/billing/checkout", plan=plan)
    assert response.status_code == 200
    [address] = set(re.findall(r'http://[^"]+/pay/(\w+)', response.get_data(as_text=True)))
    return str(address)


def tell(browser: Browser, account: Account) -> None:
    """Send what happened, in order, and expect it to be taken."""
    for event in account.new_events():
        assert account.send(browser.client, event).status_code == 200


def plan_of(session: Session, browser: Browser) -> str:
    session.expire_all()
    assert browser.user is not None
    return session.get_one(User, browser.user.id).plan


def subscription_of(session: Session, browser: Browser) -> Subscription:
    session.expire_all()
    assert browser.user is not None
    return session.get_one(Subscription, browser.user.id)


def remote_id(account: Account) -> str:
    return str(account.store.all("subscription")[0]["id"])


def test_it_works(customer: Browser, account: Account, session: Session) -> None:
    assert plan_of(session, customer) == "free"
    tell(customer, account)
    assert plan_of(session, customer) == "pro"
    page = customer.page("/settings/billing")
    assert "Pro plan" in page
    assert "Next payment" in page
    assert account.store.all("checkout.session")[0]["amount_total"] == 500


def test_back_from_the_payment_the_plan_is_there_before_any_event(alice: Browser, account: Account) -> None:
    session_id = go_to_checkout(alice)
    assert "not complete yet" in follow(alice, f"/settings/billing/paid?session_id={session_id}")
    account.store.pay(session_id)
    assert "You are on the Pro plan" in follow(alice, f"/settings/billing/paid?session_id={session_id}")


def follow(browser: Browser, path: str) -> str:
    return browser.get(path, follow_redirects=True).get_data(as_text=True)


def test_somebody_else_s_payment_is_nobody_s(customer: Browser, bob: Browser, account: Account) -> None:
    session_id = account.store.all("checkout.session")[0]["id"]
    assert bob.get(f"/settings/billing/paid?session_id={session_id}").status_code == 404
    assert bob.get("/settings/billing/paid?session_id=cs_test_unknown").status_code == 303


def test_an_upgrade_is_charged_and_a_downgrade_deletes_nothing(
    customer: Browser, account: Account, session: Session
) -> None:
    tell(customer, account)
    assert customer.post("/settings/billing/change", plan="team").status_code == 303
    assert plan_of(session, customer) == "team"
    assert account.store.all("invoice")[0]["amount_paid"] == 2000
    user = session.get_one(User, customer.user.id)  # type: ignore[union-attr]
    for number in range(6):
        create_database(session, Actor("user", user), DatabaseSpec(f"Database {number}"))
    session.commit()
    customer.post("/settings/billing/change", plan="pro")
    tell(customer, account)
    assert plan_of(session, customer) == "pro"
    assert session.scalar(select(func.count()).select_from(Database)) == 6
    user = session.get_one(User, user.id)
    with pytest.raises(PlanLimitReached, match="Pro plan allows 5"):
        create_database(session, Actor("user", user), DatabaseSpec("One more"))
    session.rollback()
    assert "More databases than your plan allows" in customer.page("/settings/usage")


def test_a_failed_payment_has_its_grace_and_a_good_card_recovers(
    customer: Browser, account: Account, session: Session, outbox: Outbox
) -> None:
    tell(customer, account)
    account.store.use_card(subscription_of(session, customer).customer_id, False)
    account.store.renew(remote_id(account))
    tell(customer, account)
    assert subscription_of(session, customer).status == "past_due"
    assert plan_of(session, customer) == "pro"
    assert "Your payment failed" in customer.page("/settings/billing")
    assert "Your last payment failed" in customer.page("/databases")
    assert [mail["Subject"] for mail in outbox.messages()] == ["Your payment failed"]
    assert subscriptions.end_grace(session) == 0
    let_grace_pass(session, customer)
    assert plan_of(session, customer) == "free"
    account.store.use_card(subscription_of(session, customer).customer_id, True)
    tell(customer, account)
    assert plan_of(session, customer) == "pro"
    assert subscription_of(session, customer).past_due_since is None
    assert "Your payment failed" not in customer.page("/settings/billing")


def let_grace_pass(session: Session, browser: Browser) -> None:
    subscription_of(session, browser).past_due_since = datetime.now(UTC) - timedelta(days=8)
    session.commit()
    assert subscriptions.end_grace(session) == 1
    session.commit()
    assert subscriptions.end_grace(session) == 0


def test_after_the_grace_an_event_does_not_give_the_plan_back(
    customer: Browser, account: Account, session: Session
) -> None:
    tell(customer, account)
    account.store.use_card(subscription_of(session, customer).customer_id, False)
    account.store.renew(remote_id(account))
    tell(customer, account)
    let_grace_pass(session, customer)
    account.store.settle(account.store.all("invoice")[0])
    tell(customer, account)
    assert plan_of(session, customer) == "free"


def test_a_cancelled_plan_runs_to_the_period_s_end(customer: Browser, account: Account, session: Session) -> None:
    tell(customer, account)
    account.store.update(remote_id(account), {"cancel_at_period_end": True})
    tell(customer, account)
    assert plan_of(session, customer) == "pro"
    assert "Your subscription ends on" in customer.page("/settings/billing")
    account.store.renew(remote_id(account))
    tell(customer, account)
    assert plan_of(session, customer) == "free"
    account.store.pay(go_to_checkout(customer))
    tell(customer, account)
    assert plan_of(session, customer) == "pro"


def whole_life(customer: Browser, account: Account, session: Session) -> list[dict[str, Any]]:
    """Every event of a life: subscribed, upgraded, failed, recovered, cancelled, over."""
    store, customer_id = account.store, subscription_of(session, customer).customer_id
    customer.post("/settings/billing/change", plan="team")
    store.use_card(customer_id, False)
    store.renew(remote_id(account))
    store.use_card(customer_id, True)
    store.update(remote_id(account), {"cancel_at_period_end": True})
    store.renew(remote_id(account))
    return account.new_events()


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_and_doubled_events_end_where_stripe_is(
    customer: Browser, account: Account, session: Session, seed: int
) -> None:
    tell(customer, account)
    events = whole_life(customer, account, session) * 2
    random.Random(seed).shuffle(events)
    for event in events:
        assert account.send(customer.client, event).status_code == 200
    found = subscription_of(session, customer)
    assert (found.status, found.granted_plan, plan_of(session, customer)) == ("canceled", None, "free")
    told = select(func.count()).select_from(BillingEvent)
    assert session.scalar(told) == len(account.store.events)


def test_an_old_subscription_s_late_end_does_not_end_the_new_one(
    customer: Browser, account: Account, session: Session
) -> None:
    tell(customer, account)
    account.store.end(remote_id(account))
    [late] = account.new_events()
    subscription_of(session, customer).status = "canceled"
    session.commit()
    account.store.pay(go_to_checkout(customer))
    tell(customer, account)
    assert account.send(customer.client, late).status_code == 200
    assert plan_of(session, customer) == "pro"


def test_one_event_has_one_effect(customer: Browser, account: Account, session: Session) -> None:
    for event in account.new_events():
        for _ in range(3):
            assert account.send(customer.client, event).status_code == 200
    changes = select(func.count()).where(AuditEvent.action == "user.change_plan")
    assert session.scalar(changes) == 1


def test_forged_events_are_refused_and_leave_nothing(customer: Browser, account: Account, session: Session) -> None:
    event = account.new_events()[-1]
    now = int(time.time())
    client = customer.client
    answers = [
        account.send(client, event, secret="whsec_guessed"),
        account.send(client, event, payload=b'{"id": "evt_changed"}'),
        account.send(client, event, header=""),
        account.send(client, event, header="t=1,v1=00"),
        account.send(client, event, header="nonsense"),
        account.send(client, event, at=now - 301),
        account.send(client, event, at=now + 310),
        account.send(client, {"id": "evt_x", "object": "event"}),
    ]
    assert {answer.status_code for answer in answers} == {400}
    assert session.scalar(select(func.count()).select_from(BillingEvent)) == 0
    assert account.send(client, event, at=now - 290).status_code == 200


def test_an_event_that_lies_changes_nothing(customer: Browser, account: Account, session: Session) -> None:
    """Signed by Stripe, and older than what is true by now."""
    tell(customer, account)
    lie = account.store.events[-1] | {"id": "evt_lie", "type": "customer.subscription.updated"}
    lie["data"] = {"object": dict(account.store.all("subscription")[0], status="canceled", metadata={"plan": "team"})}
    assert account.send(customer.client, lie).status_code == 200
    assert plan_of(session, customer) == "pro"


def test_while_stripe_does_not_answer_an_event_is_not_taken(
    customer: Browser, account: Account, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    event = account.new_events()[-1]
    things = dict(account.store.things)
    account.store.things.clear()
    assert account.send(customer.client, event).status_code == 503
    assert session.scalar(select(func.count()).select_from(BillingEvent)) == 0
    account.store.things.update(things)
    assert account.send(customer.client, event).status_code == 200
    assert plan_of(session, customer) == "pro"


def test_a_customer_who_is_none_of_ours_is_ignored(customer: Browser, account: Account, session: Session) -> None:
    account.new_events()
    other = account.store.create_customer({"email": "elsewhere@example.com"})
    given = {"mode": "subscription", "customer": other["id"], "success_url": "https://example.com"}
    amount = {"currency": "usd", "unit_amount": "900", "recurring": {"interval": "month"}}
    paid = account.store.open_checkout({**given, "line_items": [{"price_data": amount}]})
    account.store.pay(paid["id"])
    tell(customer, account)
    assert plan_of(session, customer) == "free"


def test_a_plan_that_an_admin_gave_is_not_taken_by_the_end_of_a_subscription(
    customer: Browser, account: Account, session: Session
) -> None:
    tell(customer, account)
    session.get_one(User, customer.user.id).plan = "business"  # type: ignore[union-attr]
    session.commit()
    account.store.end(remote_id(account))
    tell(customer, account)
    assert plan_of(session, customer) == "business"


def test_what_is_not_for_sale_cannot_be_bought(alice: Browser, account: Account) -> None:
    for plan in ("business", "free", "nonsense"):
        assert alice.post("/settings/billing/checkout", plan=plan).status_code == 400
    assert account.store.all("checkout.session") == []
    assert alice.post("/settings/billing/portal").status_code == 404


def test_with_a_subscription_one_changes_it_instead_of_paying_twice(customer: Browser, account: Account) -> None:
    tell(customer, account)
    response = customer.post("/settings/billing/checkout", plan="team")
    assert response.status_code == 409
    assert "Change its plan instead" in response.get_data(as_text=True)
    assert len(account.store.all("checkout.session")) == 1


def test_the_portal_is_the_customer_s_own(customer: Browser, account: Account) -> None:
    tell(customer, account)
    response = customer.post("/settings/billing/portal")
    assert f"{account.url}/portal/" in response.get_data(as_text=True)
    [portal] = account.store.all("billing_portal.session")
    assert portal["customer"] == account.store.all("subscription")[0]["customer"]
    assert portal["return_url"].endswith("/settings/billing")


def test_every_change_leaves_an_audit_event_without_secrets(
    customer: Browser, account: Account, session: Session
) -> None:
    tell(customer, account)
    whole_life(customer, account, session)
    events = session.scalars(
        select(AuditEvent).where(AuditEvent.action.like("%plan") | (AuditEvent.actor_type == "system"))
    )
    actions = {event.action for event in events}
    assert {"billing.change_plan", "user.change_plan", "subscription.update"} <= actions
    assert SYSTEM.label in {event.actor_label for event in session.scalars(select(AuditEvent))}
    assert "sk_test_key" not in str([event.details for event in session.scalars(select(AuditEvent))])
