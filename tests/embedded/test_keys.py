"""Secrets: made once, in closed files, and replaced by what the environment gives."""

import base64
import hashlib
import hmac
import stat

from webapp.embedded import keys
from webapp.embedded.environment import Stack


def values(stack: Stack) -> dict[str, str]:
    return {path.name: path.read_text() for path in (stack.home / "secrets").iterdir()}


def test_a_second_time_changes_no_secret(stack: Stack) -> None:
    keys.ensure(stack, {})
    first = values(stack)
    keys.ensure(stack, {})
    assert values(stack) == first
    assert {stat.S_IMODE(path.stat().st_mode) for path in (stack.home / "secrets").iterdir()} == {0o600}


def test_an_encryption_key_has_32_bytes(stack: Stack) -> None:
    keys.ensure(stack, {})
    assert len(base64.urlsafe_b64decode(values(stack)["encryption_keys"])) == 32


def test_given_keys_win_one_a_line(stack: Stack) -> None:
    keys.ensure(stack, {})
    keys.ensure(stack, {"DBHOST_SECRET_KEY": "given", "DBHOST_ENCRYPTION_KEYS": "new,old"})
    assert values(stack)["secret_key"] == "given\n"
    assert values(stack)["encryption_keys"] == "new\nold\n"


def test_the_verifier_is_that_of_the_password(stack: Stack) -> None:
    keys.ensure(stack, {})
    password = values(stack)["control_password"].strip()
    method, parameters, proof = values(stack)["control_verifier"].strip().split("$")
    iterations, salt = parameters.split(":")
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    assert (method, base64.b64decode(proof.split(":")[0])) == ("SCRAM-SHA-256", stored)
