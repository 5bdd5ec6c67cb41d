"""Which function carries which kind of long operation.

A kind's function gets a LongJob, plays playbooks by it and returns Done. It must be idempotent: after a killed worker,
or a retry, it simply runs again. The service that queues the kind says by `long_operations.when_ended` what its end
means to the database.
"""

# Imported for what they say of an end: the worker has to know it too.
from webapp.services import backups, clones, deletions, drills, moves  # noqa: F401
from webapp.worker.long import backup_kinds, database_kinds
from webapp.worker.long import moves as move_kind
from webapp.worker.long.job import Work

WORK: dict[str, Work] = {
    "backup.create": backup_kinds.create,
    "backup.restore": backup_kinds.restore,
    "backup.delete": backup_kinds.delete,
    "backup.fetch": backup_kinds.fetch,
    "backup.drill": backup_kinds.drill,
    "database.undelete": database_kinds.undelete,
    "database.clone": database_kinds.clone,
    "database.move": move_kind.move,
    "database.drop_copy": move_kind.drop_copy,
}
