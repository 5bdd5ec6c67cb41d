"""Stands in for `ansible-playbook` where no fork server runs it: notes the process in DBHOST_RUN_PIDS, and becomes it.

`front.py ANSIBLE_PLAYBOOK ARGUMENTS…`. Standard library only and few imports, since its start is part of the run.
"""

import os
import sys


def main() -> None:
    """Note this process as one that ends with the run, and become the command."""
    pids = os.open(os.environ["DBHOST_RUN_PIDS"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(pids, f"{os.getpid()}\n".encode())
    os.close(pids)
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606  # becoming the command is the point


if __name__ == "__main__":
    main()
