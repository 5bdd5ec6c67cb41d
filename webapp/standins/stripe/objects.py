"""What Stripe's objects look like in its API of 2025 and later, as far as billing by subscription goes."""

import secrets
import time
from typing import Any

MONTH_S = 30 * 86400
API_VERSION = "2026-10-28.endive"


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def now() -> int:
    return int(time.time())


def listed(items: list[dict[str, Any]], url: str) -> dict[str, Any]:
    return {"object": "list", "url": url, "has_more": False, "data": items}


def customer(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": new_id("cus"), "object": "customer", "created": now(), "livemode": False, "email": given.get("email"),
        "name": given.get("name"), "metadata": given.get("metadata") or {}, "delinquent": False,
    }  # fmt: skip


def price(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": new_id("price"), "object": "price", "created": now(), "livemode": False, "active": True,
        "currency": given["currency"], "unit_amount": int(given["unit_amount"]), "type": "recurring",
        "recurring": {"interval": given["recurring"]["interval"], "interval_count": 1, "usage_type": "licensed"},
        "product": given.get("product") or new_id("prod"), "lookup_key": given.get("lookup_key"),
        "metadata": given.get("metadata") or {},
    }  # fmt: skip


def checkout_session(given: dict[str, Any], line_price: dict[str, Any], address: str) -> dict[str, Any]:
    session_id = new_id("cs_test")
    return {
        "id": session_id, "object": "checkout.session", "created": now(), "livemode": False, "mode": given["mode"],
        "customer": given.get("customer"), "customer_email": given.get("customer_email"), "status": "open",
        "payment_status": "unpaid", "client_reference_id": given.get("client_reference_id"), "subscription": None,
        "success_url": given["success_url"], "cancel_url": given.get("cancel_url"),
        "url": f"{address}/pay/{session_id}", "expires_at": now() + 86400, "metadata": given.get("metadata") or {},
        "amount_total": line_price["unit_amount"], "currency": line_price["currency"],
    }  # fmt: skip


def subscription(customer_id: str, line_price: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    subscription_id = new_id("sub")
    item = {
        "id": new_id("si"), "object": "subscription_item", "created": now(), "subscription": subscription_id,
        "price": line_price, "quantity": 1, "current_period_start": now(), "current_period_end": now() + MONTH_S,
    }  # fmt: skip
    return {
        "id": subscription_id, "object": "subscription", "created": now(), "livemode": False, "customer": customer_id,
        "status": "active", "cancel_at_period_end": False, "cancel_at": None, "canceled_at": None, "ended_at": None,
        "start_date": now(), "currency": line_price["currency"], "latest_invoice": None, "metadata": metadata,
        "collection_method": "charge_automatically", "trial_end": None,
        "items": listed([item], f"/v1/subscription_items?subscription={subscription_id}"),
    }  # fmt: skip


def invoice(of: dict[str, Any], reason: str, amount: int) -> dict[str, Any]:
    return {
        "id": new_id("in"), "object": "invoice", "created": now(), "livemode": False, "customer": of["customer"],
        "status": "open", "billing_reason": reason, "currency": of["currency"], "amount_due": amount,
        "amount_paid": 0, "amount_remaining": amount, "attempt_count": 0, "attempted": False,
        "parent": {
            "type": "subscription_details",
            "subscription_details": {"subscription": of["id"], "metadata": of["metadata"]},
        },
    }  # fmt: skip


def event(kind: str, about: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": new_id("evt"), "object": "event", "api_version": API_VERSION, "created": now(), "livemode": False,
        "type": kind, "data": {"object": about}, "pending_webhooks": 1,
        "request": {"id": new_id("req"), "idempotency_key": None},
    }  # fmt: skip
