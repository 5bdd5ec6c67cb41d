"""Idempotency keys: the same key and body give the first answer again, also after a crash or side by side."""

import json
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from webapp.models import IdempotencyKey
from webapp.services.errors import IdempotencyKeyReused
from webapp.services.vault import vault

KEPT = timedelta(days=1)


@dataclass(frozen=True)
class StoredAnswer:
    """An answer as it went out; its body may hold a password."""

    status: int
    headers: dict[str, str]
    body: str = field(repr=False)


@dataclass(frozen=True)
class Claim:
    """What is known of a key: new, or with the operation and perhaps the answer of its first use."""

    api_key_id: uuid.UUID
    key: str
    is_new: bool
    operation_id: uuid.UUID | None = None
    answer: StoredAnswer | None = None


def claim(session: Session, api_key_id: uuid.UUID, key: str, request_hash: bytes) -> Claim:
    """Take *key* in the transaction of the change it is for, or find what its first use did.

    While another request with the same key is in its own transaction, this waits; should that one fail, the key
    is new. Raises IdempotencyKeyReused when the key came with another request before.
    """
    values: dict[str, Any] = {
        "request_hash": request_hash, "operation_id": None, "status": None, "headers": None, "body_encrypted": None,
        "expires_at": func.now() + KEPT,
    }  # fmt: skip
    take = (
        insert(IdempotencyKey)
        .values(api_key_id=api_key_id, key=key, **values)
        .on_conflict_do_update(
            index_elements=["api_key_id", "key"], set_=values, where=IdempotencyKey.expires_at < func.now()
        )
        .returning(IdempotencyKey.key)
    )
    if session.execute(take).first():
        return Claim(api_key_id, key, is_new=True)
    row = session.scalars(_row(api_key_id, key)).one()
    if row.request_hash != request_hash:
        raise IdempotencyKeyReused("This Idempotency-Key was used with another request. Take a new key.")
    return Claim(api_key_id, key, is_new=False, operation_id=row.operation_id, answer=_open(row))


def bind(session: Session, claimed: Claim, operation_id: uuid.UUID) -> None:
    """Say which operation the key stands for, so that a crash before the answer loses nothing."""
    session.scalars(_row(claimed.api_key_id, claimed.key)).one().operation_id = operation_id


def remember(session: Session, claimed: Claim, answer: StoredAnswer) -> None:
    """Keep the answer, encrypted, for as long as the key is kept."""
    row = session.scalar(_row(claimed.api_key_id, claimed.key))
    if row is not None:
        row.status, row.headers = answer.status, answer.headers
        row.body_encrypted = vault().encrypt(answer.body, _context(row))


def purge_expired(session: Session, at_most: int = 1000) -> int:
    """Remove keys that are over; called by whoever has a moment."""
    over = (
        select(IdempotencyKey.api_key_id, IdempotencyKey.key)
        .where(IdempotencyKey.expires_at < func.now())
        .limit(at_most)
        .with_for_update(skip_locked=True)
    )
    rows = session.execute(over).all()
    for api_key_id, key in rows:
        session.execute(
            delete(IdempotencyKey).where(IdempotencyKey.api_key_id == api_key_id, IdempotencyKey.key == key)
        )
    return len(rows)


def _row(api_key_id: uuid.UUID, key: str) -> Any:
    query = select(IdempotencyKey).where(IdempotencyKey.api_key_id == api_key_id, IdempotencyKey.key == key)
    return query.execution_options(populate_existing=True)


def _open(row: IdempotencyKey) -> StoredAnswer | None:
    if row.status is None or row.body_encrypted is None:
        return None
    return StoredAnswer(row.status, row.headers or {}, vault().decrypt(row.body_encrypted, _context(row)))


def _context(row: IdempotencyKey) -> str:
    return json.dumps(["idempotency", str(row.api_key_id), row.key])
