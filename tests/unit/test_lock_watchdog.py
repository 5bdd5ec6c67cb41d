"""Whom the lock watchdog ends; tests/modules/test_lock_watchdog.py has it at work."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.support.program_files import load


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load(monkeypatch, "postgres/files/lock_watchdog.py")


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
