"""`dbhost down`: no process of this home is left; with a purge, no file either."""

from __future__ import annotations

import shutil
from pathlib import Path

from webapp.embedded import access, hosts, layout, processes, supervisor, up
from webapp.embedded.environment import Stack, StackError
from webapp.embedded.progress import Progress
from webapp.worker import workplace


def down(stack: Stack, progress: Progress) -> None:
    """Stop everything, also what a dead supervisor left behind."""
    stack = layout.with_short_sockets(stack)
    if not stack.home.exists():
        return
    with up.alone(stack, progress):
        with progress.step("Stop the stack"):
            stop(stack)
        hosts.down(stack, progress, purge=False)


def stop(stack: Stack) -> None:
    supervisor.shut_down(stack)
    processes.sweep(stack)
    left = processes.of_stack(stack)
    if left:
        raise StackError(f"These processes could not be stopped: {', '.join(map(str, left))}.")


def purge(stack: Stack, progress: Progress) -> None:
    """Stop everything and remove all that was made for this home, its databases included.

    What somebody else put into the folder stays, and then the folder too.
    """
    stack = layout.with_short_sockets(stack)
    if not stack.home.exists():
        return
    with up.alone(stack, progress), progress.step(f"Remove {stack.home}"):
        stop(stack)
        hosts.down(stack, progress, purge=True)
        workplace.sweep(stack.home)  # in memory, not below the home; a killed worker leaves it
        if layout.has_outside_sockets(stack):
            shutil.rmtree(stack.socket_dir, ignore_errors=True)
        access.revoke(stack)
        for name in layout.CONTENTS:
            remove(stack.home / name)
        if not any(stack.home.iterdir()):
            stack.home.rmdir()


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
