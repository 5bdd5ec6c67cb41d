"""The decision of `pgbouncer_tenants`: which entry, and who is cut on the way."""

from dataclasses import replace

import pytest

from agent_modules.module_utils.dbhost import doors, scram
from agent_modules.module_utils.dbhost.store import CLOSED, CUTTING, OPEN, Entry
from agent_modules.module_utils.dbhost.tenants import TenantDatabase

VERIFIER = scram.build(b"old", b"0123456789abcdef")
OTHER = scram.build(b"new", b"fedcba9876543210")
WANTED = TenantDatabase("shop", verifier=VERIFIER, generation=5)
OPENED = Entry(
    generation=5,
    door=OPEN,
    verifier=VERIFIER,
    pool_size=WANTED.pool_size,
    direct_pool_size=WANTED.direct_pool_size,
)
SHUT = doors.closed(OPENED)


@pytest.mark.parametrize(
    ("before", "wanted", "cut", "words"),
    [
        (Entry(), WANTED, False, ["Open"]),
        (OPENED, WANTED, False, []),
        (SHUT, WANTED, False, ["Open"]),
        (replace(SHUT, door=CUTTING), WANTED, True, ["Cut", "Open"]),
        (OPENED, replace(WANTED, verifier=OTHER), True, ["Cut", "Change verifier"]),
        (OPENED, replace(WANTED, disconnect=True), True, ["Cut"]),
        (replace(OPENED, disconnected=5), replace(WANTED, disconnect=True), False, []),
        (replace(OPENED, disconnected=5), replace(WANTED, disconnect=True, generation=6), True, ["Cut"]),
        (replace(OPENED, disconnected=5), replace(WANTED, disconnect=True, generation=None), True, ["Cut"]),
        (OPENED, replace(WANTED, pool_size=5), False, ["Change pool_size"]),
        (OPENED, replace(WANTED, networks=("10.0.0.0/8",)), True, ["Cut", "Change networks"]),
        (
            replace(OPENED, networks=("10.1.0.0/16",)),
            replace(WANTED, networks=("10.0.0.0/8",)),
            False,
            ["Change networks"],
        ),
        (replace(OPENED, networks=("10.0.0.0/8",)), WANTED, False, ["Change networks"]),
        (replace(OPENED, networks=("10.0.0.0/8",)), replace(WANTED, networks=("::1/128",)), True, ["Cut", "Change"]),
        (OPENED, TenantDatabase("shop", state="absent"), False, ["Close"]),
        (OPENED, replace(WANTED, state="stopped"), False, ["Close"]),
        (SHUT, TenantDatabase("shop", state="absent"), False, []),
        (Entry(), TenantDatabase("shop", state="absent"), False, []),
    ],
)
def test_step(before, wanted, cut, words):
    step = doors.step(before, wanted)
    assert step.cut is cut
    assert len(step.changes) == len(words)
    assert all(change.startswith(word) for change, word in zip(step.changes, words, strict=True))
    assert step.after.door == (OPEN if wanted.state == "present" else CLOSED)


def test_a_closed_door_keeps_its_tombstone_and_forgets_the_verifier():
    again = doors.step(SHUT, replace(WANTED, state="stopped")).after
    assert again.verifier is None
    assert again.tombstone == SHUT.tombstone != VERIFIER


def test_a_name_that_pgbouncer_never_knew_needs_no_tombstone():
    assert doors.step(Entry(), TenantDatabase("shop", state="absent", generation=3)).after == Entry(generation=3)
