"""Whose long operation is next: the slots of a worker are shared between the owners of databases."""

import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

AT_ONCE = 4
# The last slot is never taken by one who has all the others: whoever comes next finds it free.
SHARE = AT_ONCE - 1

# An owner's first waiting operation stands behind those that the owner has running, the second behind one more, and
# so on. Among equals, whoever was served longest ago is first, then whoever has waited longest.
LINE = text("""
    WITH waiting AS (
        SELECT operations.id, databases.owner_id, operations.created_at, EXISTS (
            SELECT 1 FROM procrastinate_jobs
            WHERE lock = 'operation:' || operations.id AND status IN ('todo', 'doing')
        ) AS rung, operations.state = 'running' AS orphaned
        FROM operations JOIN databases ON databases.id = operations.database_id
        JOIN hosts ON hosts.id = operations.host_id
        WHERE operations.lane = 'long' AND operations.id <> ALL(CAST(:carried AS uuid[])) AND (
            operations.state = 'running' OR (
                operations.state = 'queued' AND operations.next_attempt_at <= now()
                AND hosts.state <> 'offline' AND hosts.key_refused_at IS NULL
            )
        )
    ), due AS (
        SELECT * FROM waiting WHERE NOT (orphaned AND rung) OR id = CAST(:asking AS uuid)
    ), owners AS (
        SELECT waiters.owner_id,
            count(*) FILTER (WHERE operations.state = 'running' AND due.id IS NULL) AS running,
            count(*) FILTER (WHERE operations.id = ANY(CAST(:carried AS uuid[]))) AS here,
            max(runs.started_at) AS served_at
        FROM (SELECT DISTINCT owner_id FROM due) AS waiters
        JOIN databases ON databases.owner_id = waiters.owner_id
        JOIN operations ON operations.database_id = databases.id AND operations.lane = 'long'
        LEFT JOIN due ON due.id = operations.id
        LEFT JOIN runs ON runs.id = operations.run_id
        GROUP BY waiters.owner_id
    ), line AS (
        SELECT due.id, due.rung, row_number() OVER (
            ORDER BY owners.running + due.nth, owners.served_at NULLS FIRST, due.created_at, due.id
        ) AS place
        FROM (
            SELECT *, row_number() OVER (PARTITION BY owner_id ORDER BY created_at, id) AS nth FROM due
        ) AS due
        JOIN owners ON owners.owner_id = due.owner_id
        WHERE owners.here + due.nth <= :share
    )
    SELECT id, rung FROM line ORDER BY place
""")


def may_begin(session: Session, operation_id: uuid.UUID, carried: Collection[uuid.UUID]) -> bool:
    """Whether one of the slots that a worker has left beside *carried* is for this operation."""
    return operation_id in [row.id for row in _line(session, carried, operation_id)[: AT_ONCE - len(carried)]]


def silent(session: Session, carried: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Those next in line that have no doorbell, as many as there are slots beside *carried*."""
    waiting = [row.id for row in _line(session, carried) if not row.rung]
    return waiting[: AT_ONCE - len(carried)]


def _line(
    session: Session, carried: Collection[uuid.UUID], asking: uuid.UUID | None = None
) -> Sequence[Row[tuple[uuid.UUID, bool]]]:
    values = {"carried": list(carried), "share": SHARE, "asking": asking}
    return session.execute(LINE, values).all()
