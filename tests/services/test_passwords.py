"""What a password's hash costs whoever stole it."""

from argon2 import PasswordHasher, Type, extract_parameters

from webapp.services import passwords


def test_production_hashes_are_dear(cheap_passwords: PasswordHasher) -> None:
    """RFC 9106's second choice, for where memory is short."""
    cost = extract_parameters(cheap_passwords.hash("correct horse battery"))
    assert cost.type is Type.ID
    assert (cost.time_cost, cost.memory_cost, cost.parallelism) >= (3, 64 * 1024, 4)
    assert (cost.hash_len, cost.salt_len) >= (32, 16)


def test_a_password_matches_its_own_hash_alone() -> None:
    stored = passwords.hash_password("correct horse battery")
    assert passwords.matches(stored, "correct horse battery")
    assert not passwords.matches(stored, "correct horse batterz")
    assert not passwords.matches(None, "a password that nobody has")
    assert not passwords.matches("no hash", "correct horse battery")
