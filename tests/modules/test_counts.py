"""What converging costs, as counts: they are the same on every machine, so that what creeps up is seen at once.

They are ceilings. Who makes something dearer on purpose raises one here and says why in the commit; who makes it
cheaper lowers it.
"""

import os
import subprocess
from collections import Counter

import psycopg
import pytest

from agent_modules.module_utils.dbhost import unblocking
from tests.modules.conftest import making
from tests.support.dataplane import PROVISIONER, running

_STATEMENTS = """
SELECT coalesce(sum(s.calls), 0)::int FROM pg_stat_statements AS s
 WHERE s.userid = %s::text::regrole AND s.toplevel
"""


class Costs:
    """Counts what goes on within a block; everything is carried out as ever."""

    def __init__(self, dataplane, monkeypatch):
        self.dataplane, self.seen = dataplane, Counter()
        for place, name, word in (
            (psycopg, "connect", "connections"),
            (subprocess, "Popen", "processes"),
            (os, "fsync", "fsyncs"),
            (os, "fork", "forks"),
        ):
            monkeypatch.setattr(place, name, self._counted(getattr(place, name), word))

    def of(self, *items):
        """The counts of converging *items*, which succeeds."""
        with self.dataplane.superuser() as connection:
            connection.execute("SELECT pg_stat_statements_reset()")
            before, reloads = Counter(self.seen), self._reloads()
            results = self.dataplane.converge(*items)
            assert [result["error"] for result in results] == [None] * len(items)
            counts = self.seen - before
            [statements] = connection.execute(_STATEMENTS, [PROVISIONER]).fetchone()
        return {**counts, "statements": statements, "reloads": self._reloads() - reloads}

    def _counted(self, real, word):
        def counting(*arguments, **more):
            self.seen[word] += 1
            return real(*arguments, **more)

        return counting

    def _reloads(self):
        return sum(self.dataplane.log(name).count("SIGHUP") for name in self.dataplane.services())


@pytest.fixture(scope="module")
def plane():
    """A host of its own: what other tests leave behind to be swept would be counted."""
    with running() as plane:
        with plane.superuser() as connection:
            connection.execute(f"ALTER ROLE {PROVISIONER} SET pg_stat_statements.track_utility = on")
        yield plane


@pytest.fixture
def shops(plane):
    """Makes tenants of that host."""
    yield from making(plane)


@pytest.fixture
def costs(plane, shops, monkeypatch):
    """Counts there, once PgBouncer's files have been written by somebody.

    Nobody is in anybody's way, and who looks after some time whether it is so would be counted on a slow machine.
    """
    monkeypatch.setattr(unblocking, "_PATIENCE_S", 3600.0)
    costs = Costs(plane, monkeypatch)
    costs.of(shops().item())
    return costs


def at_most(counts, **ceilings):
    """What is dearer than it may be; nothing else is counted than has a ceiling."""
    return {word: number for word, number in counts.items() if number > ceilings.get(word, 0)}


def test_a_create(costs, shops):
    counts = costs.of(shops().item())
    assert at_most(counts, statements=21, connections=5, processes=1, reloads=2, fsyncs=12) == {}


def test_a_create_of_four(costs, shops):
    counts = costs.of(*(shops().item() for _ in range(4)))
    assert at_most(counts, statements=66, connections=11, processes=1, reloads=2, fsyncs=12) == {}


def test_a_repetition_however_long_the_list_is(costs, shops):
    made = [shops() for _ in range(4)]
    costs.of(*(shop.item() for shop in made))
    for listed in (made[:1], made):
        counts = costs.of(*(shop.item() for shop in listed))
        assert at_most(counts, statements=4, connections=2, fsyncs=2) == {}


def test_a_delete(costs, shops):
    made = shops()
    costs.of(made.item())
    counts = costs.of(made.item(state="absent"))
    assert at_most(counts, statements=12, connections=4, processes=2, reloads=4, fsyncs=16) == {}
