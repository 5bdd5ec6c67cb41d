"""`up` without --detach: show what the stack says until Ctrl-C, then stop it."""

import signal

from webapp.embedded import down, logs
from webapp.embedded.environment import Stack
from webapp.embedded.progress import Progress


def stay(stack: Stack) -> None:
    """Follow every log; SIGINT or SIGTERM stops the stack."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        logs.follow(stack, None)
    except KeyboardInterrupt:
        down.down(stack, Progress())
