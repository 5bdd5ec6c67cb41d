"""When to try again, and when to stop trying."""

from datetime import timedelta

MAX_ATTEMPTS = 10
# A host that cannot be reached is waited for: with a delay of at most a minute, about two hours.
MAX_ATTEMPTS_UNREACHABLE = 125
LONGEST_DELAY_S = 60
UNREACHABLE = "HOST_UNAVAILABLE"


def delay(attempt: int) -> timedelta:
    """How long to wait after the *attempt*-th try: 1, 2, 4 ... 60 seconds."""
    return timedelta(seconds=min(LONGEST_DELAY_S, 2 ** min(attempt - 1, 10)))


def exhausted(code: str, attempt: int) -> bool:
    """Whether the *attempt*-th try was the last one."""
    return attempt >= (MAX_ATTEMPTS_UNREACHABLE if code == UNREACHABLE else MAX_ATTEMPTS)
