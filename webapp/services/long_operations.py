"""What a long operation's end means to its subject, told by the service that queued it."""

from collections.abc import Callable

from sqlalchemy.orm import Session

from webapp.models import Operation

type Ended = Callable[[Session, Operation], None]

_ENDED: dict[str, Ended] = {}
_RETRIED: dict[str, Ended] = {}


def when_ended(*kinds: str) -> Callable[[Ended], Ended]:
    """Have the function called when an operation of one of *kinds* ends, whichever way.

    It is called in the transaction that ends it: `operation.state` and its error are then as they will be
    committed. It must not commit, and must not fail.
    """

    def register(function: Ended) -> Ended:
        _ENDED.update(dict.fromkeys(kinds, function))
        return function

    return register


def ended(session: Session, operation: Operation) -> None:
    """Tell whoever wants to know that the operation has ended."""
    function = _ENDED.get(operation.kind)
    if function is not None:
        function(session, operation)


def when_retried(*kinds: str) -> Callable[[Ended], Ended]:
    """Have the function called when somebody asks again for an operation of one of *kinds* that failed.

    It sets its subject as it was when the operation was first asked for, or raises a ServiceError.
    """

    def register(function: Ended) -> Ended:
        _RETRIED.update(dict.fromkeys(kinds, function))
        return function

    return register


def retried(session: Session, operation: Operation) -> None:
    """Tell whoever wants to know that the operation is queued again."""
    function = _RETRIED.get(operation.kind)
    if function is not None:
        function(session, operation)
