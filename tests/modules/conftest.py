"""Tenants of a test's own on the one data plane of the run."""

import itertools

import pytest

from tests.support import dumps
from tests.support.dataplane import verifier

_numbers = itertools.count(1)


class Tenant:
    """One tenant: its name, its password, and what its item says now."""

    def __init__(self, name, generations):
        self.name, self.password = name, f"pw-{name}"
        self.verifier = verifier(self.password)
        self._generations = generations

    def item(self, **changes):
        """Its item under a new generation."""
        return {"name": self.name, "verifier": self.verifier, "generation": next(self._generations), **changes}

    def change_password(self, password):
        """What reset-password does before anything reaches the host."""
        self.password, self.verifier = password, verifier(password)


def making(dataplane):
    """Make tenants with what this yields; what is left of them in the end is taken away."""
    generations, made = itertools.count(1), []

    def make():
        made.append(Tenant(f"t{next(_numbers)}-{len(made)}x", generations))
        return made[-1]

    yield make
    left = dataplane.converge(*(tenant.item(state="absent") for tenant in made))
    assert [result["error"] for result in left] == [None] * len(made)


@pytest.fixture
def tenants(dataplane):
    """Makes tenants for one test."""
    yield from making(dataplane)


@pytest.fixture(scope="module")
def lasting_tenants(dataplane):
    """Makes tenants for all tests of a file, where nothing that succeeds may change them."""
    yield from making(dataplane)


@pytest.fixture
def shop(dataplane, tenants):
    """A tenant that is there and open."""
    tenant = tenants()
    [result] = dataplane.converge(tenant.item())
    assert (result["error"], result["changed"]) == (None, True)
    return tenant


@pytest.fixture
def filled(dataplane, shop):
    """A tenant with something to lose."""
    with dataplane.connect(shop.name, shop.password) as connection:
        connection.execute("CREATE TABLE goods (id int, word text)")
        connection.execute("INSERT INTO goods SELECT g, md5(g::text) FROM generate_series(1, %s) AS g", [dumps.ROWS])
        connection.execute("SELECT lo_from_bytea(0, 'a large object')")
    return shop
