"""Tell the owner when a backup, a restore or a drill has failed."""

from sqlalchemy.orm import Session

from webapp.models import Operation
from webapp.services import webhooks


def tell(session: Session, operation: Operation, what: str) -> None:
    """Queue the notice in the transaction that ends the operation."""
    details = {
        "operation": {"id": str(operation.id), "kind": operation.kind},
        "message": f"{what}: {operation.error_message or 'the run ended without a result'}",
        "step": operation.error_step,
    }
    webhooks.publish(session, "backup.failed", database=operation.database, details=details)
