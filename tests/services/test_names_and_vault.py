import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp.services.errors import ValidationFailed
from webapp.services.names import PATTERN, RESERVED, check_display_name, check_name, derive_name
from webapp.services.vault import Vault, VaultError


def key() -> str:
    return base64.urlsafe_b64encode(os.urandom(32)).decode()


@given(st.text(min_size=1, max_size=100))
def test_any_display_name_gives_a_valid_name(text: str) -> None:
    try:
        display_name = check_display_name(text)
    except ValidationFailed:
        return
    assert PATTERN.fullmatch(derive_name(display_name))


@given(st.text())
def test_only_the_pattern_passes(text: str) -> None:
    try:
        assert check_name(text) == text
    except ValidationFailed:
        assert not PATTERN.fullmatch(text) or text in RESERVED or text.startswith("dbhost-")
    else:
        assert PATTERN.fullmatch(text)


def test_a_secret_comes_back_and_is_bound_to_its_row() -> None:
    vault = Vault.from_text(key())
    stored = vault.encrypt("s3cret", "row-1")

    assert vault.decrypt(stored, "row-1") == "s3cret"
    assert b"s3cret" not in stored
    with pytest.raises(VaultError):
        vault.decrypt(stored, "row-2")
    with pytest.raises(VaultError):
        vault.decrypt(stored[:-1] + bytes([stored[-1] ^ 1]), "row-1")


def test_an_old_key_still_opens_after_a_rotation() -> None:
    old, new = key(), key()
    stored = Vault.from_text(old).encrypt("s3cret", "row")

    assert Vault.from_text(f"{new}\n{old}").decrypt(stored, "row") == "s3cret"
    with pytest.raises(VaultError):
        Vault.from_text(new).decrypt(stored, "row")


@pytest.mark.parametrize("text", ["", "short", "AAAA", "!!!"])
def test_a_malformed_key_is_refused(text: str) -> None:
    with pytest.raises(VaultError):
        Vault.from_text(text)


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"


@pytest.mark.parametrize("name", [FAMILY, PERSIAN, f"{FAMILY} shop", "\u2764\ufe0f", "x", "e\u0301", "日本", "🏳️‍🌈"])
def test_display_names_of_all_scripts_and_emoji_are_taken(name: str) -> None:
    assert check_display_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["\u200d", "\u200c\u200c", "\u3164", "\u2800", "\u115f\u1160", "\uffa0", "\u0301", "\ufe0f", "\u200b", "\u00ad",
     "\u2060", "shop\u200d", "\u200cshop", "a\u202eb", "a\nb", "a\u200bb", " \u3164 ", ""],
)  # fmt: skip
def test_display_names_that_show_nothing_or_something_else_are_refused(name: str) -> None:
    with pytest.raises(ValidationFailed):
        check_display_name(name)
