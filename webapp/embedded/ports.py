"""Whether the stack's ports are free, before anything is started on them."""

from __future__ import annotations

import socket
from contextlib import closing

from webapp.embedded.environment import Stack, StackError


def require_free(stack: Stack, running: frozenset[str]) -> None:
    """Raise StackError for a port that somebody else holds; *running* are the programs that hold theirs already."""
    wanted = {
        "web": ("DBHOST_WEB_PORT", stack.web_port),
        "pgbouncer": ("DBHOST_PGBOUNCER_PORT", stack.pgbouncer_port),
        "postgres": ("DBHOST_POSTGRES_PORT", stack.postgres_port),
    }
    taken = [pair for program, pair in wanted.items() if program not in running and not is_free(pair[1])]
    if taken:
        sentences = [f"Port {number} is taken: set {variable} to another one." for variable, number in taken]
        raise StackError("\n".join(sentences))


def is_free(number: int) -> bool:
    with closing(socket.socket()) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True
