"""Fixtures of the warm runs, for the tests that compare them with plain ones."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.fronts import Fronts
from webapp.worker.runner import fork_server_environment
from webapp.worker.warm import Warm


@pytest.fixture
def fronts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fronts:
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    return Fronts(tmp_path)


@pytest.fixture
def warm(fronts: Fronts) -> Iterator[Warm]:
    server = Warm(fronts.folder, fork_server_environment(), fronts.inventory)
    yield server
    server.close()
