"""Whose sessions the watchdog ends; tests/modules/test_watchdog.py has it at work."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.support.program_files import load

SPARED = frozenset({"provisioner", ""})


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load(monkeypatch, "postgres/files/watchdog.py")


@pytest.mark.parametrize(
    ("locks", "ended"),
    [
        ([("a", 30), ("b", 20)], []),
        ([("a", 60), ("b", 20)], [0]),
        ([("a", 40), ("b", 39), ("c", 1)], [0]),
        ([("a", 51), ("b", 60), ("c", 55)], [1, 2, 0]),
        ([("provisioner", 60)], []),
        ([("provisioner", 49), ("a", 2)], [1]),
        # A dump of b holds more than any session of a: all those together hold most.
        ([("b", 30), *[("a", 4)] * 10], [1, 2, 3, 4, 5]),
        ([("b", 30), *[(f"a.member{n}", 4) for n in range(10)]], [1, 2, 3, 4, 5]),
        ([("a", 10), ("a", 30), ("b", 39)], [1]),
        ([], []),
    ],
)
def test_the_greediest_tenant_goes_first_and_no_more_than_needed(
    program: ModuleType, locks: list[tuple[str, int]], ended: list[int]
) -> None:
    seen = program.Seen([program.Holder(pid, role, number) for pid, (role, number) in enumerate(locks)])
    limits = program.Limits(100, 60, 600, 1000)
    assert [end.pid for end in program.hoarders(seen, limits, SPARED)] == ended


def session(program: ModuleType, pid: int, role: str, **values: Any) -> Any:
    usual = {"by_socket": False, "transaction_s": None, "idle_s": None, "temporary_bytes": 0}
    return program.Session(pid, role, **(usual | values))


def test_temporary_files_count_for_all_sessions_of_a_tenant(program: ModuleType) -> None:
    sessions = [session(program, pid, "a.one" if pid else "a", temporary_bytes=400 + pid) for pid in range(3)]
    sessions.append(session(program, 9, "b", temporary_bytes=999))
    seen = program.Seen([], sessions)
    assert [end.pid for end in program.spillers(seen, program.Limits(100, 60, 600, 1000), SPARED)] == [2]


@pytest.mark.parametrize(
    ("values", "ended"),
    [
        ({"idle_s": 61, "transaction_s": 61}, True),
        ({"idle_s": 59, "transaction_s": 599}, False),
        ({"transaction_s": 601}, True),
        ({"transaction_s": 599}, False),
        ({"idle_s": 61, "transaction_s": 61, "by_socket": True}, False),  # pg_dump, which waits for whoever reads it
        ({"transaction_s": 601, "by_socket": True}, True),
        ({}, False),
    ],
)
def test_no_transaction_lasts_for_ever(program: ModuleType, values: dict[str, Any], ended: bool) -> None:
    seen = program.Seen([], [session(program, 1, "a", **values), session(program, 2, "provisioner", **values)])
    found = program.endless(seen, program.Limits(100, 60, 600, 1000), SPARED)
    assert [end.pid for end in found] == ([1] if ended else [])


def test_the_queue_is_freed_by_ending_the_senders_old_transactions_first(program: ModuleType) -> None:
    duty, limits = program.Queue(), program.Limits(100, 60, 600, 1000)
    sender = program.Holder(7, "a", 1, notifies=True)

    def look(usage: float, at: float, *sessions: Any) -> list[int]:
        return [end.pid for end in duty(program.Seen([sender], sessions, usage, at), limits, SPARED)]

    bystander = session(program, 1, "b", transaction_s=500, idle_s=500)
    dump = session(program, 2, "b", transaction_s=500, by_socket=True)
    busy, idle = session(program, 3, "a", transaction_s=30), session(program, 4, "a", transaction_s=20, idle_s=1)
    young = session(program, 5, "a", transaction_s=1, idle_s=1)
    assert look(0.0, 100, bystander, dump, busy, idle) == []
    assert look(0.2, 105, bystander, dump, busy, idle) == []
    busy, idle = session(program, 3, "a", transaction_s=35), session(program, 4, "a", transaction_s=10, idle_s=1)
    assert look(0.3, 110, bystander, dump, busy, idle, young) == [4]
    assert look(0.3, 111, bystander, dump, busy, young) == [3]
    assert look(0.3, 112, bystander, dump, young) == []
    assert look(0.3, 114, bystander, dump, young) == [1]
    assert look(0.3, 115, dump, young) == []


def test_a_tenth_of_the_connections_stays_free(program: ModuleType) -> None:
    """An account with many databases is evened out before anybody with fewer sessions loses one."""
    crowd = [
        session(program, 100 * n + m, f"a{n}", transaction_s=50 - m, idle_s=40 - m) for n in range(4) for m in range(20)
    ]
    few = [session(program, 900 + m, "b", transaction_s=1) for m in range(12)]
    dumps = [session(program, 950 + m, "c", by_socket=True, transaction_s=900) for m in range(3)]
    limits = program.Limits(100, 60, 600, 1000, connections=100)
    ended = program.crowders(program.Seen([], [*few, *crowd, *dumps]), limits, SPARED)
    assert len(ended) == 5
    assert sorted(end.pid for end in ended)[:1] == [0]  # the longest idle one of the first
    assert {end.role for end in ended} == {"a0", "a1", "a2", "a3"}
    assert program.crowders(program.Seen([], [*few, *dumps]), limits, SPARED) == []
