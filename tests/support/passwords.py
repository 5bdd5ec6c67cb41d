"""Real argon2id for every test, with so little to do that thousands of sign-ins cost nothing."""

from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from webapp.services import passwords

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(scope="session", autouse=True)
def cheap_passwords() -> Iterator[PasswordHasher]:
    """Hash cheaply in this process; what it yields is the hasher of production."""
    production, passwords.hasher = passwords.hasher, CHEAP
    yield production
    passwords.hasher = production
