"""Which function carries which kind of long operation.

A kind's function gets a LongJob, plays playbooks by it and returns Done. It must be idempotent: after a killed worker,
or a retry, it simply runs again. The service that queues the kind says by `long_operations.when_ended` what its end
means to the database.
"""

from webapp.worker.long.job import Work

WORK: dict[str, Work] = {}
