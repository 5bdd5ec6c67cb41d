"""Whether the stack's ports are free, before anything is started on them."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from webapp.embedded.environment import DIRECT_PORT, Stack, StackError, read_recorded


def require_free(stack: Stack, running: frozenset[str]) -> None:
    """Raise StackError for a port that somebody else holds; *running* are the programs that hold theirs already."""
    wanted = {
        "web": ("DBHOST_WEB_PORT", stack.web_port),
        "pgbouncer": ("DBHOST_PGBOUNCER_PORT", stack.pgbouncer_port),
        "pgbouncer-direct": (DIRECT_PORT, stack.direct_port),
        "postgres": ("DBHOST_POSTGRES_PORT", stack.postgres_port),
    }
    taken = [pair for program, pair in wanted.items() if program not in running and not is_free(pair[1])]
    if taken:
        sentences = [f"Port {number} is taken: set {variable} to another one." for variable, number in taken]
        raise StackError("\n".join(sentences))


def with_free_direct_port(stack: Stack, environ: Mapping[str, str]) -> Stack:
    """The same stack; where nobody chose a port for the direct door, with the next one that is free."""
    if environ.get(DIRECT_PORT) or DIRECT_PORT in read_recorded(stack.home):
        return stack
    taken = {stack.web_port, stack.pgbouncer_port, stack.postgres_port}
    candidates = (number for number in range(stack.direct_port, 65536) if number not in taken)
    return replace(stack, direct_port=next((number for number in candidates if is_free(number)), stack.direct_port))


def is_free(number: int) -> bool:
    with closing(socket.socket()) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True
