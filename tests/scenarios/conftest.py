"""These tests look at hosts that molecule made (molecule/); without it there is nothing to collect."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scenarios.hosts import HOME_VARIABLE

collect_ignore_glob = [] if os.environ.get(HOME_VARIABLE) else ["*/test_*.py"]
TIMEOUT_S = 900  # whole playbooks, on a machine that may be busy


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(TIMEOUT_S))
