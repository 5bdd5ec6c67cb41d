"""Whom the lock watchdog ends; tests/modules/test_lock_watchdog.py has it at work."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

PROGRAM = Path(__file__).parents[2] / "roles/postgres/files/lock_watchdog.py"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    specification = importlib.util.spec_from_file_location("lock_watchdog", PROGRAM)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "lock_watchdog", module)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("locks", "ended"),
    [
        ({"a": 30, "b": 20}, []),
        ({"a": 60, "b": 20}, ["a"]),
        ({"a": 40, "b": 39, "c": 1}, ["a"]),
        ({"a": 51, "b": 60, "c": 55}, ["b", "c", "a"]),
        ({"provisioner": 60}, []),
        ({"provisioner": 49, "a": 2}, ["a"]),
        ({}, []),
    ],
)
def test_the_greediest_go_first_and_no_more_than_needed(
    program: ModuleType, locks: dict[str, int], ended: list[str]
) -> None:
    holders = [program.Holder(pid, role, number) for pid, (role, number) in enumerate(locks.items())]
    chosen = program.to_end(holders, 100, frozenset({"provisioner"}))
    assert [holder.role for holder in chosen] == ended
