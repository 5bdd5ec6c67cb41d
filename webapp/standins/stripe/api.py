"""The stand-in's API below /v1, as the stripe library calls it."""

from typing import Any

from flask import Blueprint, Response, current_app, jsonify, request

from webapp.standins.stripe import objects
from webapp.standins.stripe.form import decode, is_true
from webapp.standins.stripe.store import Missing, Store

blueprint = Blueprint("v1", __name__, url_prefix="/v1")


def store() -> Store:
    found: Store = current_app.extensions["store"]
    return found


def given() -> dict[str, Any]:
    return decode(list(request.form.items(multi=True)))


def refuse(status: int, kind: str, message: str) -> Response:
    response = jsonify(error={"type": kind, "message": message})
    response.status_code = status
    return response


@blueprint.before_request
def check() -> Response | None:
    """The key has to look like one; an Idempotency-Key that was used gives the first answer again."""
    key = (request.authorization.token if request.authorization else None) or ""
    if not key.startswith(("sk_", "rk_")):
        return refuse(401, "invalid_request_error", "Invalid API Key provided.")
    if known := store().answers.get(request.headers.get("Idempotency-Key", "")):
        return Response(known[0], known[1], mimetype="application/json")
    return None


@blueprint.after_request
def remember(response: Response) -> Response:
    response.headers["Request-Id"] = objects.new_id("req")
    if (key := request.headers.get("Idempotency-Key")) and response.status_code < 500:
        store().answers[key] = response.get_data(), response.status_code
    return response


@blueprint.errorhandler(Missing)
def missing(error: Missing) -> Response:
    return refuse(404, "invalid_request_error", str(error))


@blueprint.errorhandler(KeyError)
def incomplete(error: KeyError) -> Response:
    return refuse(400, "invalid_request_error", f"Missing required param: {error.args[0]}.")


@blueprint.post("/customers")
def create_customer() -> Response:
    return jsonify(store().create_customer(given()))


@blueprint.get("/customers/<thing_id>")
def show_customer(thing_id: str) -> Response:
    return jsonify(store().get(thing_id, "customer"))


@blueprint.post("/prices")
def create_price() -> Response:
    return jsonify(store().add(objects.price(given())))


@blueprint.get("/prices/<thing_id>")
def show_price(thing_id: str) -> Response:
    return jsonify(store().get(thing_id, "price"))


@blueprint.post("/checkout/sessions")
def open_checkout() -> Response:
    return jsonify(store().open_checkout(given()))


@blueprint.get("/checkout/sessions/<thing_id>")
def show_checkout(thing_id: str) -> Response:
    return jsonify(store().get(thing_id, "checkout.session"))


@blueprint.post("/billing_portal/sessions")
def open_portal() -> Response:
    asked, portal_id = given(), objects.new_id("bps")
    customer = store().get(asked["customer"], "customer")
    url = f"{store().address}/portal/{portal_id}"
    values = {"customer": customer["id"], "return_url": asked.get("return_url"), "url": url, "created": objects.now()}
    return jsonify(store().add({"id": portal_id, "object": "billing_portal.session", "livemode": False, **values}))


@blueprint.get("/subscriptions")
def list_subscriptions() -> Response:
    found = store().all("subscription", customer=request.args.get("customer"))
    status = request.args.get("status")
    wanted = [each for each in found if status == "all" or each["status"] == (status or each["status"])]
    kept = [each for each in wanted if status or each["status"] != "canceled"]
    return jsonify(objects.listed(kept, "/v1/subscriptions"))


@blueprint.get("/subscriptions/<thing_id>")
def show_subscription(thing_id: str) -> Response:
    return jsonify(store().get(thing_id, "subscription"))


@blueprint.post("/subscriptions/<thing_id>")
def update_subscription(thing_id: str) -> Response:
    asked, changes = given(), {}
    if "cancel_at_period_end" in asked:
        changes["cancel_at_period_end"] = is_true(asked["cancel_at_period_end"])
    if "metadata" in asked:
        changes["metadata"] = asked["metadata"]
    items = asked.get("items") or [{}]
    line_price = store().get(items[0]["price"], "price") if "price" in items[0] else None
    return jsonify(store().update(thing_id, changes, line_price))


@blueprint.delete("/subscriptions/<thing_id>")
def cancel_subscription(thing_id: str) -> Response:
    return jsonify(store().end(thing_id))


@blueprint.get("/invoices")
def list_invoices() -> Response:
    found = store().all("invoice", customer=request.args.get("customer"), status=request.args.get("status"))
    return jsonify(objects.listed(found, "/v1/invoices"))


@blueprint.get("/invoices/<thing_id>")
def show_invoice(thing_id: str) -> Response:
    return jsonify(store().get(thing_id, "invoice"))


@blueprint.post("/invoices/<thing_id>/pay")
def pay_invoice(thing_id: str) -> Response:
    found = store().get(thing_id, "invoice")
    store().settle(found)
    return jsonify(found)


@blueprint.get("/events")
def list_events() -> Response:
    return jsonify(objects.listed(list(reversed(store().events)), "/v1/events"))
