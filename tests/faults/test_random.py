"""Random changes by many clients while processes die and stop and files are cut: every answer was true (I1 to I6).

`./dbhost test faults --operations N --seed S`; a short one is among the tests of stacks.
"""

import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults import checks
from tests.faults.damage import Damage, until
from tests.faults.person import Budget, Person
from tests.support.stack import Stack, running_stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(0)]
SEED = int(os.environ.get("DBHOST_TEST_SEED", "20261130"))
OPERATIONS = int(os.environ.get("DBHOST_TEST_OPERATIONS", "60"))
CLIENTS = 12


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(settings={"DBHOST_WEBHOOKS_ALLOW_PRIVATE": "true"}) as running:
        yield running


@pytest.fixture
def people(stack: Stack) -> Iterator[list[Person]]:
    made = []
    for number in range(CLIENTS):
        email = f"faults{number}@example.com"
        stack.user(email)
        client = stack.client(stack.key(email))
        made.append(Person(client, f"faults{number}", random.Random(f"{SEED}-{number}")))
    yield made
    for person in made:
        person.client.close()


def test_every_answer_was_true(stack: Stack, people: list[Person]) -> None:
    print(f"DBHOST_TEST_SEED={SEED} DBHOST_TEST_OPERATIONS={OPERATIONS}")
    budget, is_over = Budget(OPERATIONS), threading.Event()
    damage = Damage(stack, random.Random(SEED), is_over)
    with ThreadPoolExecutor(len(people) + 1) as pool:
        breaking = pool.submit(damage.run)
        try:
            for work in [pool.submit(person.work, budget) for person in people]:
                work.result()
        finally:
            is_over.set()
            print("done:", "; ".join(damage.done))
            print("answers:", {person.name: person.answers.counts for person in people})
        breaking.result()
    assert damage.done
    until("all is well", lambda: stack.dbhost("doctor", check=False).returncode == 0)
    stack.dbhost("converge")
    checks.assert_nothing_is_stuck_and_nobody_innocent_failed(stack)
    checks.assert_every_answer_was_true(stack, people)
    checks.assert_the_api_tells_what_it_acknowledged(people)
    checks.assert_the_host_has_what_has_a_row(stack, people)
    checks.assert_who_is_active_gets_in_and_nobody_else(people)
    checked = stack.dbhost("converge", "--check").stdout
    assert "changed=0" in checked, checked
