"""Rate limits, counted in the control database so that all web processes share them."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import structlog
from flask import Flask, Response, request
from flask_limiter import Limiter, RequestLimit
from limits import parse
from limits.storage import Storage
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import TooManyRequests
from werkzeug.middleware.proxy_fix import ProxyFix

from webapp import devices
from webapp.http import error_response, resources

log = structlog.get_logger()
PURGE_EVERY_S = 60.0
AWAY = (DBAPIError, PoolTimeout)

HIT = text("""
    INSERT INTO rate_counters AS counter (key, hits, expires_at)
    VALUES (:key, :amount, now() + make_interval(secs => :expiry))
    ON CONFLICT (key) DO UPDATE SET
        hits = CASE WHEN counter.expires_at > now() THEN counter.hits ELSE 0 END + excluded.hits,
        expires_at = CASE WHEN counter.expires_at > now() THEN counter.expires_at ELSE excluded.expires_at END
    RETURNING hits, extract(epoch FROM expires_at - now())::float8 AS left_s
""")
LOOK = text("""
    SELECT hits, extract(epoch FROM expires_at - now())::float8 AS left_s
    FROM rate_counters WHERE key = :key AND expires_at > now()
""")
PURGE = text("""
    DELETE FROM rate_counters WHERE key IN (
        SELECT key FROM rate_counters WHERE expires_at < now() LIMIT 10000 FOR UPDATE SKIP LOCKED)
""")


@dataclass(frozen=True)
class Window:
    """What was counted in the running window, and how long it lasts."""

    hits: int = 0
    left_s: float = 0.0


class ControlStorage(Storage):
    """Counters in `rate_counters` of the app's control database: one upsert a hit, in a transaction of its own.

    While the control database is away nothing is counted and nobody refused: the request itself will say so.
    """

    STORAGE_SCHEME = ["dbhost-control"]
    base_exceptions = AWAY

    def __init__(self, uri: str | None = None, wrap_exceptions: bool = False, **options: Any) -> None:
        super().__init__(uri, wrap_exceptions, **options)
        self._purged_at = time.monotonic()

    def hit(self, key: str, expiry: float, amount: int = 1) -> Window:
        """Count *amount* more in the window of *key*, which starts with its first hit."""
        window = self._one(HIT, key=key, amount=amount, expiry=expiry)
        if time.monotonic() - self._purged_at > PURGE_EVERY_S:
            self._purged_at = time.monotonic()
            self.purge()
        return window

    def look(self, key: str) -> Window:
        return self._one(LOOK, key=key)

    def purge(self) -> None:
        """Remove windows that are over; another process that does the same is not waited for."""
        self._run(lambda connection: connection.execute(PURGE))

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        return self.hit(key, expiry, amount).hits

    def get(self, key: str) -> int:
        return self.look(key).hits

    def get_expiry(self, key: str) -> float:
        return time.time() + self.look(key).left_s

    def check(self) -> bool:
        return self._run(lambda connection: connection.execute(text("SELECT 1"))) is not None

    def reset(self) -> int | None:
        result = self._run(lambda connection: connection.execute(text("DELETE FROM rate_counters")))
        return None if result is None else int(result.rowcount)

    def clear(self, key: str) -> None:
        delete = text("DELETE FROM rate_counters WHERE key = :key")
        self._run(lambda connection: connection.execute(delete, {"key": key}))

    def _one(self, statement: Any, **values: Any) -> Window:
        row = self._run(lambda connection: connection.execute(statement, values).first())
        return Window() if row is None else Window(row.hits, row.left_s)

    def _run(self, work: Callable[[Any], Any]) -> Any:
        engine: Engine = resources().engine
        try:
            with engine.begin() as connection:
                return work(connection)
        except AWAY as error:
            log.warning("rate_limits_not_counted", error=type(error).__name__)
            return None


@dataclass(frozen=True)
class Allowance:
    """What is left of a rate in this window, as the RateLimit headers tell it."""

    limit: int
    remaining: int
    reset_s: int

    @property
    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


def client_address() -> str:
    """The address that connected; a proxy's word for it counts only with DBHOST_TRUSTED_PROXIES."""
    return request.remote_addr or "unknown"


def count(kind: str, who: str, rate: str) -> Allowance:
    """Count one request of *who*. Raises TooManyRequests, ready to be sent, past *rate*."""
    item = parse(rate)
    window = storage().hit(f"{kind}/{who}/{item.get_expiry()}", item.get_expiry())
    allowance = Allowance(item.amount, max(0, item.amount - window.hits), max(1, math.ceil(window.left_s)))
    if window.hits > item.amount:
        raise TooManyRequests(response=_refusal(allowance))
    return allowance


def refuse_past(email: str) -> None:
    """Raises TooManyRequests once an account had too many failed sign-ins, from whichever addresses.

    Known or not, an e-mail is counted alike. A browser that has signed in to the account before is counted for itself,
    so that strangers do not shut its owner out. Asked before the password is hashed.
    """
    item = parse(resources().settings.account_rate)
    window = storage().look(_account(email, item.get_expiry()))
    if window.hits >= item.amount:
        raise TooManyRequests(response=_refusal(Allowance(item.amount, 0, max(1, math.ceil(window.left_s)))))


def count_failure(email: str) -> None:
    """Count one failed sign-in of an account."""
    expiry = parse(resources().settings.account_rate).get_expiry()
    storage().hit(_account(email, expiry), expiry)


def limit_mails(recipient: str) -> None:
    """Raises TooManyRequests for an address that asks for too many mails, or a recipient who gets too many."""
    rate = resources().settings.mail_rate
    count("mail", client_address(), rate)
    count("mail-to", sha256(recipient.strip().lower().encode()).hexdigest()[:32], part_of(rate, 4))


def part_of(rate: str, divisor: int) -> str:
    """A rate of a part of *rate*, at least one."""
    item = parse(rate)
    return f"{max(1, item.amount // divisor)} per {item.multiples} {item.GRANULARITY.name}"


def _account(email: str, expiry: int) -> str:
    return f"account/{devices.account_mark(email)}/{devices.known(email) or 'unknown'}/{expiry}"


def storage() -> ControlStorage:
    held = limiter.storage
    if not isinstance(held, ControlStorage):
        raise TypeError("The rate limits' storage is not the control database.")
    return held


def init_app(app: Flask) -> None:
    """Count in the app's control database, by the client's address behind as many proxies as are trusted."""
    proxies = app.extensions["dbhost"].settings.trusted_proxies
    if proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies)  # type: ignore[method-assign]
    limiter.init_app(app)


def _refusal(allowance: Allowance) -> Response:
    detail = f"Too many requests. Try again in {allowance.reset_s} s."
    headers = {**allowance.headers, "Retry-After": str(allowance.reset_s)}
    return error_response(429, "RATE_LIMITED", "Too many requests", detail, headers=headers)


def _breached(limit: RequestLimit) -> Response:
    reset_s = max(1, math.ceil(limit.window.reset_time - time.time()))
    return _refusal(Allowance(limit.limit.amount, 0, reset_s))


limiter = Limiter(client_address, storage_uri="dbhost-control://", strategy="fixed-window", on_breach=_breached)

# For the dashboard's POST sign-in: only those that failed are counted, and refused before a password is hashed.
sign_in_limit = limiter.shared_limit(
    lambda: resources().settings.sign_in_rate,
    scope="sign-in",
    deduct_when=lambda response: response.status_code == 401,
)
