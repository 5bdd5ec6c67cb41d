"""When `dbhost-reconnect` has PgBouncer reconnect; tests/modules/test_changed_schemas.py has it at work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import pytest

from agent_modules.module_utils.dbhost import schema_signal
from tests.support.program_files import load

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
A, B = 1, 2


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load(monkeypatch, "pgbouncer/files/reconnect.py")


@pytest.fixture
def signals(program: ModuleType) -> Any:
    """As after a first look at two databases that were quiet for long."""
    signals = program.Signals(timedelta(minutes=5))
    assert signals.read(times(60, None)) == set()
    return signals


def times(*minutes_ago: float | None) -> list[tuple[int, str, datetime | None, datetime]]:
    """One database each, and when its schema changed."""
    moments = [None if ago is None else NOW - timedelta(minutes=ago) for ago in minutes_ago]
    return [(oid, f"db{oid}", moment, NOW) for oid, moment in enumerate(moments, start=A)]


def sent(signals: Any, at: float) -> list[str]:
    """What is due at a moment, as sent then."""
    due = signals.due(at)
    for database in due:
        database.is_due, database.sent_at = False, at
    return [database.name for database in due]


def test_it_knows_the_lock_and_the_role_of_the_triggers(program: ModuleType) -> None:
    assert (program.LOCK, program.USER) == (schema_signal.LOCK, schema_signal.WATCHER)


def test_a_signal_is_sent_once_and_for_its_database_alone(signals: Any) -> None:
    assert signals.read(times(60, 0.1)) == {B}
    signals.hold({})
    assert sent(signals, 0) == ["db2"]
    assert signals.read(times(60, 0.1)) == set()
    assert sent(signals, 10) == []


def test_what_is_held_is_sent_again_when_it_ends(signals: Any) -> None:
    signals.read(times(60, 0.1))
    signals.hold({B: frozenset({"17 3/5", "18 4/1"})})
    assert sent(signals, 0) == ["db2"]
    assert signals.read(times(60, 0.1)) == {B}
    signals.hold({B: frozenset({"17 3/5", "18 4/1"})})
    assert sent(signals, 10) == []
    signals.read(times(60, 0.1))
    signals.hold({B: frozenset({"17 3/5", "18 4/2"})})  # the same process, another transaction
    assert sent(signals, 20) == ["db2"]
    signals.read(times(60, 0.1))
    signals.hold({})
    assert sent(signals, 30) == ["db2"]
    assert signals.read(times(60, 0.1)) == set()


def test_a_loop_is_sent_once_a_second_and_keeps_nobody_waiting(signals: Any) -> None:
    at = [step / 4 for step in range(41)]
    told = []
    for step in at:
        signals.read(times(0.1 if step == 5 else 60, step / 1000))
        signals.hold({})
        told += [(name, step) for name in sent(signals, step)]
    assert [name for name, _ in told].count("db2") == 11
    assert told.count(("db1", 5)) == 1


def test_what_is_not_sent_stays_due(signals: Any) -> None:
    signals.read(times(60, 0.1))
    signals.hold({})
    assert [one.name for one in signals.due(0)] == ["db2"]
    signals.read(times(60, 0.1))
    signals.hold({})
    assert sent(signals, 1) == ["db2"]


def test_a_start_looks_back_as_far_as_connections_live(program: ModuleType) -> None:
    signals = program.Signals(timedelta(minutes=5))
    assert signals.read(times(6, 4)) == {B}
    assert program.Signals(timedelta(0)).read(times(6, 4)) == set()


def test_a_database_that_goes_is_forgotten(signals: Any) -> None:
    signals.read(times(60, 0.1))
    signals.read(times(60))
    assert sent(signals, 0) == []
