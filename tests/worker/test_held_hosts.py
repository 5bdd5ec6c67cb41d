"""Hosts that are offline, or whose key was refused: what was asked of them waits, and others do not notice."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support.rows import create_many, make_host
from tests.worker.conftest import Workers, wait_until
from webapp.models import Host
from webapp.services import host_changes, operations
from webapp.services.actors import SYSTEM
from webapp.services.hosts import by_name

States = Callable[[], dict[str, int]]


def hold_offline(host: Host) -> None:
    host.state = "offline"


def hold_for_its_key(host: Host) -> None:
    host.key_refused_at = datetime.now(UTC)


@pytest.mark.parametrize("hold", [hold_offline, hold_for_its_key])
def test_operations_wait_for_a_held_host_and_finish_when_it_is_back(
    workers: Workers, host: Host, session: Session, states: States, hold: Callable[[Host], None]
) -> None:
    held = make_host(session, "away")  # nothing answers there: an attempt would show
    hold(held)
    waiting = create_many(session, held, 2)
    workers.start()
    create_many(session, host, 2)
    wait_until(lambda: states() == {"queued": 2, "succeeded": 2})
    session.expire_all()
    assert [operation.attempt for operation in waiting] == [0, 0]
    held.name, host.name = "elsewhere", "moved"  # now the inventory's `local` is the host that was away
    session.flush()
    held.name, held.address, held.key_refused_at = "local", None, None
    if held.state == "offline":
        host_changes.set_state(session, SYSTEM, held, "active")
    session.commit()
    wait_until(lambda: states() == {"succeeded": 4})


def test_an_orphan_of_a_held_host_waits_too(workers: Workers, host: Host, session: Session, states: States) -> None:
    (operation,) = create_many(session, host, 1, ring=False)
    session.execute(text("UPDATE operations SET state = 'running', fence = 1, attempt = 1"))
    host.state = "offline"
    session.commit()
    workers.start()
    wait_until(lambda: states() == {"queued": 1})
    host_changes.set_state(session, SYSTEM, by_name(session, "local"), "draining")
    session.commit()
    wait_until(lambda: states() == {"succeeded": 1})
    session.refresh(operation)
    assert operation.attempt == 2


def test_what_waits_for_a_held_host_can_be_cancelled(
    workers: Workers, host: Host, session: Session, states: States
) -> None:
    (operation,) = create_many(session, host, 1)
    session.execute(text("UPDATE operations SET attempt = 3, next_attempt_at = now() + interval '1 hour'"))
    host.state = "offline"
    session.commit()
    operations.cancel_operation(session, SYSTEM, operation.id)
    session.commit()
    workers.start()
    wait_until(lambda: states() == {"cancelled": 1})
    session.refresh(operation)
    assert operation.attempt == 3
