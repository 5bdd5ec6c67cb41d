"""Chores: each in its own transaction, by one worker at a time, and one that fails holds up no other."""

import threading

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from webapp.worker.chores import CHORES, Chore, Chores

COUNT = text("INSERT INTO rate_counters (key, hits, expires_at) VALUES (:key, 1, now())")


def keys(session: Session) -> list[str]:
    session.rollback()
    return list(session.scalars(text("SELECT key FROM rate_counters ORDER BY key")))


def test_one_that_fails_holds_up_no_other_and_leaves_nothing(
    control_sessions: sessionmaker[Session], session: Session
) -> None:
    def fails(of_chore: Session) -> None:
        of_chore.execute(COUNT, {"key": "half done"})
        of_chore.execute(text("SELECT 1 / 0"))

    done = Chore("done", 60, lambda of_chore: of_chore.execute(COUNT, {"key": "done"}))
    chores = Chores(control_sessions, (Chore("fails", 60, fails), done))
    chores.tick()
    chores.close()
    assert keys(session) == ["done"]


def test_two_workers_do_not_do_the_same_at_once(control_sessions: sessionmaker[Session], session: Session) -> None:
    entered, leave = threading.Event(), threading.Event()

    def waits(of_chore: Session) -> None:
        of_chore.execute(COUNT, {"key": "first"})
        entered.set()
        assert leave.wait(60)

    first = Chores(control_sessions, (Chore("same", 60, waits),))
    second = Chores(control_sessions, (Chore("same", 60, lambda other: other.execute(COUNT, {"key": "second"})),))
    first.tick()
    assert entered.wait(60)
    second.tick()
    second.close()
    leave.set()
    first.close()
    assert keys(session) == ["first"]


def test_a_chore_comes_again_only_after_its_time(control_sessions: sessionmaker[Session]) -> None:
    calls: list[int] = []
    chores = Chores(control_sessions, (Chore("seldom", 3600, lambda _session: calls.append(1)),))
    for _ in range(3):
        chores.tick()
    chores.close()
    assert calls == [1]


def test_all_chores_run_on_an_empty_installation(control_sessions: sessionmaker[Session], session: Session) -> None:
    for chore in CHORES:
        chore.work(session)
        session.commit()
