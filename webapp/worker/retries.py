"""When to try again, and when to stop trying."""

from datetime import timedelta

# Four minutes of trouble on a host, which a restart of its PostgreSQL may take.
MAX_ATTEMPTS = 17
# A host that cannot be reached is waited for, about two hours.
MAX_ATTEMPTS_UNREACHABLE = 365
# Whoever waits for a host that is back waits no longer than this.
LONGEST_DELAY_S = 20
UNREACHABLE = "HOST_UNAVAILABLE"


def delay(attempt: int) -> timedelta:
    """How long to wait after the *attempt*-th try: 1, 2, 4 ... 20 seconds."""
    return timedelta(seconds=min(LONGEST_DELAY_S, 2 ** min(attempt - 1, 10)))


def exhausted(code: str, attempt: int) -> bool:
    """Whether the *attempt*-th try was the last one."""
    return attempt >= (MAX_ATTEMPTS_UNREACHABLE if code == UNREACHABLE else MAX_ATTEMPTS)
