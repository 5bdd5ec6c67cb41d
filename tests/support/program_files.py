"""Programs that the roles put on hosts, loaded as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROLES = Path(__file__).parents[2] / "roles"


def load(monkeypatch: pytest.MonkeyPatch, file: str) -> ModuleType:
    """The program *file* below roles/, as long as the test lasts."""
    name = Path(file).stem
    specification = importlib.util.spec_from_file_location(name, ROLES / file)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, name, module)
    specification.loader.exec_module(module)
    return module
