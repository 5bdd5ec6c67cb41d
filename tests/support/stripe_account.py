"""A Stripe account of a test's own: the stand-in on a port, with its events in the test's hands."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask.testing import FlaskClient
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from webapp.standins.stripe.app import create_app
from webapp.standins.stripe.deliver import signature
from webapp.standins.stripe.store import Store

SECRET = "whsec_of_the_test"


@dataclass
class Account:
    """The account; nothing tells DBHost of an event until the test does, or it was opened with a webhook."""

    url: str
    store: Store
    told: int = 0

    @property
    def settings(self) -> dict[str, str]:
        """What DBHost needs in its environment to bill by this account."""
        return {"STRIPE_API_KEY": "sk_test_key", "STRIPE_WEBHOOK_SECRET": SECRET, "STRIPE_API_BASE": self.url}

    def new_events(self) -> list[dict[str, Any]]:
        """What happened since the last call, in order."""
        events = self.store.events[self.told :]
        self.told = len(self.store.events)
        return events

    def send(self, client: FlaskClient, event: dict[str, Any], **options: Any) -> TestResponse:
        """Post one event, signed as Stripe signs unless *options* say otherwise."""
        payload = json.dumps(event).encode()
        secret, at = options.pop("secret", SECRET), options.pop("at", None)
        headers = {"Stripe-Signature": options.pop("header", signature(payload, secret, at))}
        return client.post("/webhooks/stripe", data=options.pop("payload", payload), headers=headers)


@contextmanager
def stripe_account(webhook_url: str | None = None) -> Iterator[Account]:
    """Serve a fresh account until the block ends; with *webhook_url* its events go there by themselves."""
    app = create_app("", webhook_url, SECRET)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    store: Store = app.extensions["store"]
    store.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Account(store.address, store)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
