"""How the operations of a batch end that went as they should: a few statements, however many they are.

What these do is what `settle.succeed` does for one operation; all others end there, one by one.
"""

import json
import uuid
from collections.abc import Sequence

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from webapp.models import Difference, Operation, WebhookEndpoint
from webapp.services import webhooks
from webapp.worker import settle

type Done = tuple[Operation, list[str]]

SUCCEEDED = text("""
    UPDATE operations AS o
       SET state = 'succeeded', changes = done.changes, ended_at = now(),
           error_code = NULL, error_message = NULL, error_step = NULL
      FROM unnest(CAST(:ids AS uuid[]), CAST(:changes AS jsonb[])) AS done(id, changes)
     WHERE o.id = done.id AND o.state = 'running' AND o.fence = :fence
 RETURNING o.id
""")
AS_WANTED = text("""
    UPDATE databases AS d SET status = done.status, applied_generation = done.generation
      FROM unnest(CAST(:ids AS uuid[]), CAST(:statuses AS text[]), CAST(:generations AS bigint[]))
           AS done(id, status, generation)
     WHERE d.id = done.id
""")


def is_plain(operation: Operation) -> bool:
    """Whether the database is simply there afterwards: nothing was dropped, kept aside or brought back."""
    database = operation.database
    return database.desired_state in settle.DONE_STATUS and database.held_as is None


def succeed(session: Session, done: Sequence[Done], fence: int) -> set[uuid.UUID]:
    """Record that the host has what these plain operations wanted, and return those that still were under *fence*."""
    if not done:
        return set()
    changes = [json.dumps(changes) for _, changes in done]
    rows = session.execute(SUCCEEDED, {"ids": [one.id for one, _ in done], "changes": changes, "fence": fence})
    ended = set(rows.scalars())
    operations = [one for one, _ in done if one.id in ended]
    if operations:
        _databases_are_as_wanted(session, operations)
        _publish(session, operations)
    return ended


def _databases_are_as_wanted(session: Session, operations: Sequence[Operation]) -> None:
    ids = [operation.database_id for operation in operations]
    statuses = [settle.DONE_STATUS[operation.database.desired_state] for operation in operations]
    generations = [operation.generation for operation in operations]
    session.execute(delete(Difference).where(Difference.database_id.in_(ids)))
    session.execute(AS_WANTED, {"ids": ids, "statuses": statuses, "generations": generations})


def _publish(session: Session, operations: Sequence[Operation]) -> None:
    told = [operation for operation in operations if operation.kind in settle.TOLD]
    owners = {operation.database.owner_id for operation in told}
    if not owners:
        return
    query = select(WebhookEndpoint.user_id).where(
        WebhookEndpoint.user_id.in_(owners), WebhookEndpoint.state == "active"
    )
    listening = set(session.scalars(query.distinct()))
    for operation in told:
        if operation.database.owner_id in listening:
            webhooks.publish(session, settle.TOLD[operation.kind], database=operation.database)
