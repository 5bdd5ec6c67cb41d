"""Events on their way to the webhook endpoint, signed as Stripe signs; tried again until they are taken."""

import hmac
import json
import queue
import threading
import time
from hashlib import sha256
from typing import Any

import requests

TRIES = 5
PAUSE_S = 0.5
TIMEOUT_S = 30


def signature(payload: bytes, secret: str, at: int | None = None) -> str:
    """The `Stripe-Signature` header of *payload*."""
    moment = int(time.time()) if at is None else at
    mac = hmac.new(secret.encode(), f"{moment}.".encode() + payload, sha256).hexdigest()
    return f"t={moment},v1={mac}"


class Deliverer:
    """One thread that sends events in order to *url*; without a url they are only kept."""

    def __init__(self, url: str | None, secret: str) -> None:
        self.url = url
        self.secret = secret
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._run, daemon=True, name="stripe-events").start()

    def tell(self, event: dict[str, Any]) -> None:
        if self.url:
            self._events.put(event)

    def send(self, event: dict[str, Any]) -> int:
        """Send one event now; the status of the answer, 0 when there was none."""
        payload = json.dumps(event).encode()
        headers = {"Content-Type": "application/json", "Stripe-Signature": signature(payload, self.secret)}
        try:
            return requests.post(self.url or "", data=payload, headers=headers, timeout=TIMEOUT_S).status_code
        except requests.RequestException:
            return 0

    def _run(self) -> None:
        while True:
            event = self._events.get()
            for _ in range(TRIES):
                if 200 <= self.send(event) < 300:
                    break
                time.sleep(PAUSE_S)
