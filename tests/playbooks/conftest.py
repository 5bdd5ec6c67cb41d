"""What several playbooks' tests need on the host."""

import secrets
from collections.abc import Iterator

import pytest

from tests.support.dataplane import DataPlane, verifier


@pytest.fixture
def shop(dataplane: DataPlane) -> Iterator[str]:
    """The name of a shop's database, gone again after the test."""
    name = f"shop-{secrets.token_hex(4)}"
    [made] = dataplane.converge({"name": name, "generation": 1, "verifier": verifier("secret")})
    assert made["error"] is None
    yield name
    dataplane.converge({"name": name, "state": "absent"})
