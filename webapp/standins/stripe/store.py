"""The account that the stand-in plays: its objects, their life, and the events that tell of it."""

import copy
import threading
from collections.abc import Callable
from typing import Any

from webapp.standins.stripe import objects

type Thing = dict[str, Any]


class Missing(Exception):
    """There is no such object."""


class Store:
    """All objects by id. Each change makes the events that Stripe makes, in its order, and hands them to *tell*."""

    def __init__(self, tell: Callable[[Thing], None], address: str = "") -> None:
        self.address = address
        self.things: dict[str, Thing] = {}
        self.events: list[Thing] = []
        self.cards: dict[str, bool] = {}  # whether the customer's card pays
        self.prices: dict[str, tuple[Thing, Thing]] = {}  # a checkout session's price and subscription_data
        self.answers: dict[str, tuple[bytes, int]] = {}  # by Idempotency-Key
        self.lock = threading.RLock()
        self._tell = tell

    def get(self, thing_id: str, kind: str) -> Thing:
        """The object, when it is a *kind*."""
        found = self.things.get(thing_id)
        if found is None or found["object"] != kind:
            raise Missing(f"No such {kind}: '{thing_id}'")
        return found

    def all(self, kind: str, **having: Any) -> list[Thing]:
        """Objects of one kind with these values, newest first."""
        found = [thing for thing in self.things.values() if thing["object"] == kind]
        wanted = {name: value for name, value in having.items() if value is not None}
        return [thing for thing in reversed(found) if all(thing.get(name) == wanted[name] for name in wanted)]

    def add(self, thing: Thing) -> Thing:
        self.things[thing["id"]] = thing
        return thing

    def emit(self, kind: str, about: Thing) -> None:
        """An event with the object as it is at this moment."""
        event = objects.event(kind, copy.deepcopy(about))
        self.events.append(event)
        self._tell(event)

    def create_customer(self, given: Thing) -> Thing:
        made = self.add(objects.customer(given))
        self.cards[made["id"]] = True
        self.emit("customer.created", made)
        return made

    def open_checkout(self, given: Thing) -> Thing:
        """A page to pay on; a customer is made when none is named, as Stripe does."""
        line = given["line_items"][0]
        line_price = (
            self.get(line["price"], "price") if "price" in line else self.add(objects.price(line["price_data"]))
        )
        if given.get("customer"):
            self.get(given["customer"], "customer")
        made = self.add(objects.checkout_session(given, line_price, self.address))
        self.prices[made["id"]] = line_price, given.get("subscription_data") or {}
        return made

    def pay(self, session_id: str) -> Thing:
        """The customer pays: subscription, invoice and session, told in the order that Stripe tends to use."""
        with self.lock:
            session = self.get(session_id, "checkout.session")
            if session["status"] != "open":
                return session
            customer = session["customer"] or self.create_customer({"email": session["customer_email"]})["id"]
            line_price, data = self.prices[session_id]
            made = self.add(objects.subscription(customer, line_price, data.get("metadata") or {}))
            self.cards[customer] = True
            session.update(status="complete", payment_status="paid", customer=customer, subscription=made["id"])
            self.emit("customer.subscription.created", made)
            self.charge(made, "subscription_create")
            self.emit("checkout.session.completed", session)
            return session

    def charge(self, subscription: Thing, reason: str, amount: int | None = None) -> Thing:
        """An invoice, paid when the customer's card pays; the subscription's status follows."""
        with self.lock:
            due = subscription["items"]["data"][0]["price"]["unit_amount"] if amount is None else amount
            made = self.add(objects.invoice(subscription, reason, due))
            subscription["latest_invoice"] = made["id"]
            self.emit("invoice.created", made)
            self.settle(made)
            return made

    def settle(self, invoice: Thing) -> None:
        """Try to collect an open invoice."""
        with self.lock:
            subscription = self.get(invoice["parent"]["subscription_details"]["subscription"], "subscription")
            invoice["attempt_count"] += 1
            invoice["attempted"] = True
            if self.cards[invoice["customer"]]:
                invoice.update(status="paid", amount_paid=invoice["amount_due"], amount_remaining=0)
                self._become(subscription, "active")
                self.emit("invoice.paid", invoice)
                self.emit("invoice.payment_succeeded", invoice)
            else:
                self._become(subscription, "past_due")
                self.emit("invoice.payment_failed", invoice)

    def renew(self, subscription_id: str) -> Thing:
        """The period is over: the subscription ends if it was to, else the next period begins and is charged."""
        with self.lock:
            found = self.get(subscription_id, "subscription")
            if found["cancel_at_period_end"]:
                return self.end(subscription_id)
            item = found["items"]["data"][0]
            item["current_period_start"] = item["current_period_end"]
            item["current_period_end"] += objects.MONTH_S
            self.emit("customer.subscription.updated", found)
            self.charge(found, "subscription_cycle")
            return found

    def use_card(self, customer_id: str, pays: bool) -> None:
        """Another card; what is open is collected with it at once."""
        with self.lock:
            self.cards[customer_id] = pays
            for invoice in self.all("invoice", customer=customer_id, status="open"):
                self.settle(invoice)

    def update(self, subscription_id: str, changes: Thing, line_price: Thing | None = None) -> Thing:
        """Change a subscription; a new price is charged pro rata (here: in full)."""
        with self.lock:
            found = self.get(subscription_id, "subscription")
            found["metadata"].update(changes.pop("metadata", {}))
            found.update(changes)
            if line_price is not None:
                found["items"]["data"][0]["price"] = line_price
            self.emit("customer.subscription.updated", found)
            if line_price is not None:
                self.charge(found, "subscription_update")
            return found

    def end(self, subscription_id: str) -> Thing:
        """The subscription is over, now."""
        with self.lock:
            found = self.get(subscription_id, "subscription")
            if found["status"] != "canceled":
                found.update(status="canceled", canceled_at=objects.now(), ended_at=objects.now())
                self.emit("customer.subscription.deleted", found)
            return found

    def _become(self, subscription: Thing, status: str) -> None:
        if subscription["status"] not in (status, "canceled"):
            subscription["status"] = status
            self.emit("customer.subscription.updated", subscription)
