"""Somebody who changes databases by the API while the service is being broken, and remembers every answer."""

import itertools
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

PATIENCE_S = 600  # for one change, however often it has to be asked for
HERE, ELSEWHERE = "127.0.0.0/8", "203.0.113.0/24"
DENIED, PERHAPS = "Nothing was changed", "may have been carried out"
# What a service whose parts die may answer; anything else is a fault of the service itself.
BEARABLE = {202, 409, 429, 502, 503}


class Budget:
    """So many changes, for everybody together."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._lock = threading.Lock()

    def take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0


@dataclass
class Answers:
    """What was promised: by requests that were told that nothing had changed, and by operations that were accepted."""

    denied: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def note(self, request_id: str, answer: httpx.Response) -> None:
        kind = str(answer.status_code)
        if answer.status_code == 503:
            kind += " denied" if DENIED in answer.text else " perhaps" if PERHAPS in answer.text else ""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if DENIED in answer.text:
            self.denied.append(request_id)
        if answer.status_code == 202 and "Location" in answer.headers:
            self.accepted.append(answer.headers["Location"].rpartition("/")[2])


@dataclass
class Known:
    """A database as its owner knows it from the answers."""

    id: str
    url: str
    title: str
    status: str = "active"
    networks: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    backups: list[str] = field(default_factory=list)
    is_protected: bool = False

    @property
    def is_open(self) -> bool:
        return self.status == "active" and ELSEWHERE not in self.networks


@dataclass
class Person:
    """Makes one change after the other; each is asked for until the answer says what has become of it."""

    client: httpx.Client
    name: str
    chance: random.Random
    databases: dict[str, Known] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    webhooks: set[str] = field(default_factory=set)
    answers: Answers = field(default_factory=Answers)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    def work(self, budget: Budget) -> None:
        while budget.take():
            if len(self.databases) < 2 or (len(self.databases) < 4 and self.chance.random() < 0.2):
                self.create()
            else:
                known = self.databases[self.chance.choice(sorted(self.databases))]
                self.chance.choice(self.changes())(known)

    def changes(self) -> list[Callable[[Known], None]]:
        often = [self.reset, self.stop, self.start, self.restart, self.allow, self.delete, self.rename]
        return [*often, *often, self.protect, self.repair, self.back_up, self.restore, self.webhook]

    def create(self) -> None:
        name = f"{self.name}-{next(self.numbers) % 7}"  # names come back, also those that were just deleted
        if name not in self.databases:
            made = self.ask("POST", "/databases", 201, json={"name": name, "displayName": name}).json()
            self.databases[name] = Known(made["id"], made["connectionString"], name)

    def reset(self, known: Known) -> None:
        password = self.ask("POST", f"/databases/{known.id}/reset-password", 200).json()["password"]
        known.dead.append(known.url)
        known.url = re.sub(r"(://[^:]+:)[^@]+@", lambda found: f"{found[1]}{password}@", known.url)

    def stop(self, known: Known) -> None:
        known.status = self.ask("POST", f"/databases/{known.id}/stop", 200).json()["status"]
        assert known.status == "stopped"

    def start(self, known: Known) -> None:
        known.status = self.ask("POST", f"/databases/{known.id}/start", 200).json()["status"]
        assert known.status == "active"

    def restart(self, known: Known) -> None:
        if known.status == "active":
            self.ask("POST", f"/databases/{known.id}/restart", 200)

    def repair(self, known: Known) -> None:
        if known.status == "active":
            self.ask("POST", f"/databases/{known.id}/repair-ownership", 200)

    def rename(self, known: Known) -> None:
        known.title = f"Title {next(self.numbers)}"
        self.ask("PATCH", f"/databases/{known.id}", 200, json={"displayName": known.title})

    def allow(self, known: Known) -> None:
        known.networks = self.chance.choice([[], [HERE], [ELSEWHERE]])
        data = [{"cidr": network} for network in known.networks]
        self.ask("PUT", f"/databases/{known.id}/allowlist", 200, json={"data": data})

    def protect(self, known: Known) -> None:
        known.is_protected = not known.is_protected
        self.ask("PUT", f"/databases/{known.id}/delete-protection", 200, json={"enabled": known.is_protected})

    def back_up(self, known: Known) -> None:
        if known.status != "active":
            return
        operation = self.ask("POST", f"/databases/{known.id}/backups", 202).json()["operation"]
        self.answers.accepted.append(operation["id"])
        assert self.ended(operation["id"]) == "succeeded"
        listed = self.ask("GET", f"/databases/{known.id}/backups", 200).json()
        known.backups = [each["filename"] for each in listed]
        assert known.backups

    def restore(self, known: Known) -> None:
        if known.status == "active" and known.backups:
            self.ask("POST", f"/databases/{known.id}/backups/{known.backups[0]}", 200)

    def webhook(self, _known: Known) -> None:
        if self.webhooks:
            gone = self.webhooks.pop()
            self.ask("DELETE", f"/webhooks/{gone}", 204, or_else=404)
        else:
            body = {"url": "http://127.0.0.1:9/x", "events": ["backup.failed"]}
            self.webhooks.add(self.ask("POST", "/webhooks", 201, json=body).json()["id"])

    def delete(self, known: Known) -> None:
        if known.is_protected:
            return
        name = next(name for name, each in self.databases.items() if each is known)
        skip = str(self.chance.random() < 0.7).lower()
        self.ask("DELETE", f"/databases/{known.id}?skipFinalBackup={skip}", 204, or_else=404)
        del self.databases[name]
        self.gone += [known.url, *known.dead]

    def ended(self, operation_id: str) -> str:
        """How the operation has ended."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            state: str = self.ask("GET", f"/operations/{operation_id}", 200).json()["state"]
            if state in ("succeeded", "failed", "cancelled"):
                return state
            assert time.monotonic() < deadline, f"operation {operation_id} is still {state}"
            time.sleep(0.5)

    def ask(self, method: str, path: str, wanted: int, *, or_else: int = 0, **more: Any) -> httpx.Response:
        """The answer *wanted*, however often it takes: the Idempotency-Key makes one change of all of them."""
        key = {} if method == "GET" else {"Idempotency-Key": f"{self.name}-{self.chance.getrandbits(64):x}"}
        deadline = time.monotonic() + PATIENCE_S
        for number in itertools.count():
            request_id = f"{self.name}-{next(self.numbers)}-{number}"
            said = "no answer"
            try:
                answer = self.client.request(method, path, headers={**key, "X-Request-Id": request_id}, **more)
                self.answers.note(request_id, answer)
                if answer.status_code in (wanted, or_else):
                    return answer
                said = f"{answer.status_code} {answer.text}"
                assert answer.status_code in BEARABLE, f"{method} {path} {request_id}: {said}"
                assert not {"AGENT_ERROR", "NAME_TAKEN"} & set(re.findall(r"[A-Z_]+", said)), f"{request_id}: {said}"
            except httpx.TransportError as error:
                said = repr(error)
                self.answers.counts["no answer"] = self.answers.counts.get("no answer", 0) + 1
            assert time.monotonic() < deadline, f"{method} {path} {request_id}: {said}"
            time.sleep(0.3)
        raise AssertionError
