"""Tell the owner when a backup, a restore or a drill has failed."""

from sqlalchemy.orm import Session

from webapp.models import Database, Operation
from webapp.services import webhooks


def final_failed(session: Session, database: Database, why: str) -> None:
    """The database is deleted and kept aside; its data is not lost, and the dump is tried again."""
    webhooks.publish(
        session, "backup.failed", database=database, details={"message": f"The final backup failed: {why}"}
    )


def tell(session: Session, operation: Operation, what: str) -> None:
    """Queue the notice in the transaction that ends the operation."""
    details = {
        "operation": {"id": str(operation.id), "kind": operation.kind},
        "message": f"{what}: {operation.error_message or 'the run ended without a result'}",
        "step": operation.error_step,
    }
    webhooks.publish(session, "backup.failed", database=operation.database, details=details)
