"""The real worker with another playbook: `python -m tests.worker.program PLAYBOOK`."""

import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from webapp.worker import __main__ as worker
from webapp.worker import warm
from webapp.worker.hosts import Server


class Program(worker.Program):
    """Serves hosts by the playbook of the command line."""

    def _server(self, *args: object) -> Server:
        return replace(super()._server(*args), playbook=Path(sys.argv[1]).resolve())


def run() -> None:
    """Work until told to end."""
    with (
        patch.object(worker, "Program", Program),
        patch.object(warm, "PROGRAM", "tests.worker.fork_server"),
        patch.object(warm, "PATIENCE_S", 60.0),  # on a busy machine the plain command would be the rule
    ):
        worker.main()


if __name__ == "__main__":
    run()
