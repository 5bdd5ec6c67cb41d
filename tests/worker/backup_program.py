"""The real worker whose playbooks all pretend: `python -m tests.worker.backup_program PLAYBOOK`."""

from unittest.mock import patch

from tests.worker.conftest import PRETEND
from tests.worker.program import run
from webapp.worker import environment

if __name__ == "__main__":
    with patch.object(environment, "PLAYBOOKS", PRETEND):
        run()
