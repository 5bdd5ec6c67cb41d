"""Stands in for `ansible-playbook`: notes its process and becomes the real command. Standard library only."""

import os
import sys


def main() -> None:
    """`front.py ANSIBLE_PLAYBOOK ARGUMENTS…`"""
    command = sys.argv[1:]
    pids = os.open(os.environ["DBHOST_RUN_PIDS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(pids, f"{os.getpid()}\n".encode())
    os.close(pids)
    os.execv(command[0], command)  # noqa: S606  # becoming the command is the point


if __name__ == "__main__":
    main()
