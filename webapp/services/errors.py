"""Why a service said no, each error named after the rule. `webapp/http.py` translates them to HTTP, once."""


class ServiceError(Exception):
    """A rule said no; `code` is the stable word of the API and str() a sentence for the person."""

    code = "INVALID_REQUEST"
    status = 400
    title = "Invalid request"

    def __init__(self, message: str, *, errors: dict[str, list[str]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors


class InvalidRequest(ServiceError):
    """What was asked makes no sense as it stands."""


class ValidationFailed(ServiceError):
    """A field breaks its rule; `errors` names each."""

    code, title = "VALIDATION_ERROR", "Validation failed"


class Unauthorized(ServiceError):
    """No key or session, or a wrong, expired, revoked or banned one."""

    code, status, title = "UNAUTHORIZED", 401, "Unauthorized"


class TooManyAtOnce(ServiceError):
    """A user's own requests wait for each other: the process keeps its connections for everybody."""

    code, status, title = "RATE_LIMITED", 429, "Too many requests"


class SignInFailed(Unauthorized):
    """E-mail and password do not match, or the user is banned: not to be told apart."""


class KeyScopeDenied(ServiceError):
    """A full-account call with a selected key."""

    code, status, title = "KEY_SCOPE_DENIED", 403, "Key scope denied"


class NotAllowed(ServiceError):
    """The access level does not permit this, for someone who may know that the thing exists."""

    code, status, title = "FORBIDDEN", 403, "Forbidden"


class PlanLimitReached(ServiceError):
    """The plan has no room for another database."""

    code, status, title = "PLAN_LIMIT", 403, "Plan limit reached"


class ApiNotInPlan(PlanLimitReached):
    """The plan has no API."""


class DatabaseNotFound(ServiceError):
    """Missing, not yours, or outside the key's scope: not to be told apart."""

    code, status, title = "DATABASE_NOT_FOUND", 404, "Database not found"

    def __init__(self, message: str = "There is no such database.") -> None:
        super().__init__(message)


class BackupNotFound(ServiceError):
    """Missing, not whole, or another database's."""

    code, status, title = "BACKUP_NOT_FOUND", 404, "Backup not found"

    def __init__(self, message: str = "There is no such backup.") -> None:
        super().__init__(message)


class InvalidBackupFilename(ServiceError):
    """No backup can have this name."""

    code, title = "INVALID_BACKUP_FILENAME", "Invalid backup filename"


class MissingFile(ServiceError):
    """An upload without a file."""

    code, title = "MISSING_FILE", "Missing file"


class InvalidFilename(ServiceError):
    """An uploaded file whose name does not say that it is a dump."""

    code, title = "INVALID_FILENAME", "Invalid filename"


class OperationNotFound(ServiceError):
    """Missing or not yours."""

    code, status, title = "OPERATION_NOT_FOUND", 404, "Operation not found"

    def __init__(self, message: str = "There is no such operation.") -> None:
        super().__init__(message)


class NotFound(ServiceError):
    """Any other thing that is not there, or not yours."""

    code, status, title = "NOT_FOUND", 404, "Not found"


class LinkNotValid(ServiceError):
    """A link sent by mail, or a step of a sign-in, that is unknown, used or expired: not to be told apart."""

    code, status, title = "LINK_NOT_VALID", 410, "Link not valid"

    def __init__(self, message: str = "This link was used already, or it is too old. Ask for a new one.") -> None:
        super().__init__(message)


class ConfirmationNeeded(ServiceError):
    """A dangerous change wants a sign-in, or a confirmation, that is recent."""

    code, status, title = "CONFIRMATION_NEEDED", 403, "Confirm that it is you"

    def __init__(self, message: str = "Confirm that it is you, then do this again.") -> None:
        super().__init__(message)


class AddressNotVerified(ServiceError):
    """An identity provider did not vouch for the address, or is not trusted to."""

    code, status, title = "ADDRESS_NOT_VERIFIED", 403, "Address not verified"


class ProviderFailed(ServiceError):
    """An identity provider is away, or its answer cannot be used; nothing of the answer is told."""

    code, status, title = "PROVIDER_FAILED", 401, "Sign-in failed"


class MemberNotFound(NotFound):
    """Missing, or a member of another database."""

    def __init__(self, message: str = "There is no such member.") -> None:
        super().__init__(message)


class InvitationNotFound(NotFound):
    """Ended, expired, or not for this actor."""

    def __init__(self, message: str = "There is no such invitation any more.") -> None:
        super().__init__(message)


class HostNotFound(NotFound):
    """Missing, removed, or not for this actor to know of."""

    def __init__(self, message: str = "There is no such host.") -> None:
        super().__init__(message)


class WebhookNotFound(NotFound):
    """Missing, or somebody else's endpoint or message."""

    def __init__(self, message: str = "There is no such webhook endpoint.") -> None:
        super().__init__(message)


class DifferenceNotFound(NotFound):
    """Gone meanwhile, or not for you."""

    def __init__(self, message: str = "There is no such difference any more.") -> None:
        super().__init__(message)


class Conflict(ServiceError):
    """In conflict with what is there."""

    code, status, title = "CONFLICT", 409, "Conflict"


class NameTaken(Conflict):
    """The name is in use, whoever has it."""

    code, title = "NAME_TAKEN", "Name taken"


class OperationInProgress(Conflict):
    """Another operation on the same database has not ended."""

    code, title = "OPERATION_IN_PROGRESS", "Operation in progress"


class DatabaseNotActive(Conflict):
    """The database's status does not allow this."""

    code, title = "DATABASE_NOT_ACTIVE", "Database not active"


class DeleteProtected(Conflict):
    """The database is protected from being deleted."""

    code, title = "DELETE_PROTECTED", "Delete protected"


class IdempotencyKeyReused(ServiceError):
    """The same Idempotency-Key came with another body."""

    code, status, title = "IDEMPOTENCY_KEY_REUSED", 422, "Idempotency key reused"


class HostUnavailable(ServiceError):
    """The host cannot be reached, or there is none; what was queued stays queued."""

    code, status, title = "HOST_UNAVAILABLE", 503, "Host unavailable"


class BillingUnavailable(ServiceError):
    """Stripe cannot be reached, or did not do what it was asked."""

    code, status, title = "SERVICE_UNAVAILABLE", 503, "Billing unavailable"


class OperationFailed(ServiceError):
    """The operation failed on the host; the message says at which step, without secrets."""

    code, status, title = "AGENT_ERROR", 500, "Operation failed"
