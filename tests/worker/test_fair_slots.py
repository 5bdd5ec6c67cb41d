"""Whose long operation is next: with any queue of any owners, the slots of a worker are shared between the owners."""

import random
import uuid
from collections import Counter

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.support.rows import make_database, make_host, make_operation, make_user
from webapp.models import Host, Operation, User
from webapp.worker.long import claim, fairness


class Slots:
    """One worker's slots: operations begin as doorbells ring, in any order, and end in any order."""

    def __init__(self, session: Session, host: Host, chance: random.Random) -> None:
        self.session, self.host, self.chance = session, host, chance
        self.owner_of: dict[uuid.UUID, uuid.UUID] = {}
        self.waiting: set[uuid.UUID] = set()
        self.carried: set[uuid.UUID] = set()
        self.begun: list[uuid.UUID] = []

    def queue(self, owners: list[User]) -> list[uuid.UUID]:
        """One more operation for each of *owners*, in that order."""
        asked = []
        for owner in owners:
            operation = make_operation(
                self.session, make_database(self.session, self.host, owner), "test.long", lane="long"
            )
            self.session.commit()  # each is older than the next
            self.owner_of[operation.id] = owner.id
            asked.append(operation.id)
        self.waiting |= set(asked)
        return asked

    def fill(self) -> None:
        """Ring for all that wait until none of them begins any more."""
        begun = True
        while begun and len(self.carried) < fairness.AT_ONCE:
            answers = [self._ring(one) for one in self._in_any_order(self.waiting)]
            begun = any(answers)

    def end_one(self) -> None:
        ended = self._in_any_order(self.carried)[0]
        self.session.get_one(Operation, ended).state = "succeeded"
        self.session.commit()
        self.carried.remove(ended)

    def running(self) -> Counter[uuid.UUID]:
        return Counter(self.owner_of[one] for one in self.carried)

    def _ring(self, operation_id: uuid.UUID) -> bool:
        if len(self.carried) >= fairness.AT_ONCE:
            return False
        taken = claim.claim(self.session, operation_id, "worker", carried=self.carried)
        self.session.commit()
        if taken:
            self.carried.add(operation_id)
            self.waiting.remove(operation_id)
            self.begun.append(operation_id)
        return taken is not None

    def _in_any_order(self, ids: set[uuid.UUID]) -> list[uuid.UUID]:
        return self.chance.sample(sorted(ids), len(ids))


@pytest.fixture
def slots(session: Session, host: Host) -> Slots:
    return Slots(session, host, random.Random(1))


@pytest.mark.parametrize("seed", range(12))
def test_with_any_queue_nobody_waits_for_a_second_operation_of_another(session: Session, host: Host, seed: int) -> None:
    chance = random.Random(seed)
    slots = Slots(session, host, chance)
    owners = [make_user(session) for _ in range(chance.randint(2, 6))]
    slots.queue(chance.choices(owners, weights=[chance.choice((1, 4)) for _ in owners], k=chance.randint(6, 20)))
    passed: dict[uuid.UUID, Counter[uuid.UUID]] = {owner.id: Counter() for owner in owners}
    seen = 0
    while slots.waiting or slots.carried:
        slots.fill()
        running, waiters = slots.running(), {slots.owner_of[one] for one in slots.waiting}
        assert max(running.values()) <= fairness.SHARE
        assert slots.running().total() == fairness.AT_ONCE or waiters <= {
            owner for owner, count in running.items() if count == fairness.SHARE
        }
        for owner in waiters:
            assert max(running.values()) <= running[owner] + 1
        for begun in slots.begun[seen:]:
            for waiter, others in passed.items():
                others[slots.owner_of[begun]] += 1
                if slots.owner_of[begun] == waiter:
                    others.clear()
        seen = len(slots.begun)
        for owner in waiters:
            assert running[owner] or not passed[owner] or max(passed[owner].values()) <= 1
        slots.end_one()
    assert len(slots.begun) == len(slots.owner_of)


def test_one_owners_long_operations_leave_a_slot_to_whoever_comes_next(session: Session, slots: Slots) -> None:
    slots.queue([make_user(session)] * (fairness.AT_ONCE + 2))
    slots.fill()
    assert len(slots.carried) == fairness.SHARE
    (late,) = slots.queue([make_user(session)])
    slots.fill()
    assert late in slots.carried


def test_who_waits_on_a_host_that_is_away_keeps_no_slot_from_others(session: Session, slots: Slots) -> None:
    away, here = make_user(session), make_user(session)
    lost = make_host(session, "away")
    lost.state = "offline"
    for _ in range(fairness.AT_ONCE):
        make_operation(session, make_database(session, lost, away), "test.long", lane="long")
    slots.queue([here] * fairness.SHARE)
    slots.fill()
    assert len(slots.carried) == fairness.SHARE


def test_orphans_of_one_owner_are_taken_over_by_and_by(session: Session, slots: Slots) -> None:
    """An older release let one owner's operations take every slot; its worker died."""
    orphans = slots.queue([make_user(session)] * fairness.AT_ONCE)
    for one in session.scalars(select(Operation).where(Operation.id.in_(orphans))):
        one.state = "running"
    session.commit()
    slots.fill()
    assert len(slots.carried) == fairness.SHARE
    slots.end_one()
    slots.fill()
    assert not slots.waiting


def test_doorbells_ring_first_for_those_who_have_least(session: Session, slots: Slots) -> None:
    first, second = make_user(session), make_user(session)
    slots.queue([first] * fairness.AT_ONCE)
    slots.fill()
    (next_one,) = slots.queue([second])
    assert fairness.silent(session, slots.carried) == [next_one]
