"""Stands in for `ansible-playbook`: has the fork server run it, or becomes the plain command.

`front.py ANSIBLE_PLAYBOOK ARGUMENTS…` with the fork server's socket in DBHOST_WARM_SOCKET. Standard library only
and few imports, since its start is part of every run. Notes every process of the run in DBHOST_RUN_PIDS.
"""

import json
import os
import signal
import socket
import sys

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CRASHED = 250


def note(pid: int) -> None:
    """Add a process to those that end with the run."""
    pids = os.open(os.environ["DBHOST_RUN_PIDS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(pids, f"{pid}\n".encode())
    os.close(pids)


def ask(path: str, arguments: list[str]) -> tuple[socket.socket, int] | None:
    """Hand the fork server this process's terminal; the run's process, or None when it declines."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
        folder = os.getcwd()  # noqa: PTH109  # pathlib costs 10 ms at each run
        request = json.dumps({"arguments": arguments, "environment": dict(os.environ), "folder": folder})
        socket.send_fds(connection, [f"{len(request.encode())}\n".encode()], [0, 1, 2])
        connection.sendall(request.encode())
        answer = connection.makefile("rb").readline()
    except OSError:
        return None
    return (connection, int(answer)) if answer.strip().isdigit() else None


def wait(connection: socket.socket, pid: int) -> int:
    """The run's exit code, once it has ended; signals to this process go to the run."""
    for number in FORWARDED:
        signal.signal(number, lambda number, _frame: os.kill(pid, number))
    answer = connection.makefile("rb").readline()
    return int(answer) if answer.strip() else CRASHED


def main() -> None:
    """Run the command one way or the other."""
    note(os.getpid())
    path, command = os.environ.pop("DBHOST_WARM_SOCKET", ""), sys.argv[1:]
    asked = ask(path, command) if path else None
    if asked is None:
        os.execv(command[0], command)  # noqa: S606  # becoming the command is the point
    note(asked[1])
    os._exit(wait(*asked))


if __name__ == "__main__":
    main()
