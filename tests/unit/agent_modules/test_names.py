"""The name rule: what may become an SQL identifier, an INI key and an HBA field at once."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_modules.module_utils.dbhost import names
from agent_modules.module_utils.dbhost.errors import TenantError

HOSTILE = [
    "a",
    "ab",
    "-ab",
    "ab-",
    "1ab",
    "Abc",
    "a_b",
    "a.b",
    'a"b',
    "a b",
    "a\nb",
    "abc\n",
    "a;b",
    "a" * 51,
    "",
    "äbc",
    "a=b",
]


@pytest.mark.parametrize("name", ["abc", "shop-a1b2c3", "a--b", "a" * 50, "x0z"])
def test_a_name_in_the_rule_is_taken(name):
    names.require(name)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_outside_the_rule_is_refused(name):
    with pytest.raises(TenantError) as caught:
        names.require(name)
    assert caught.value.code == "invalid_name"


@pytest.mark.parametrize("name", [*(n for n in sorted(names.RESERVED)), "dbhost-control", "dbhost-x"])
def test_a_reserved_name_is_refused(name):
    with pytest.raises(TenantError) as caught:
        names.require(name)
    assert caught.value.code == "reserved_name"


def test_the_control_database_alone_may_be_let_in():
    names.require("dbhost-control", allow_reserved=True)
    with pytest.raises(TenantError):
        names.require("dbhost-other", allow_reserved=True)
    with pytest.raises(TenantError):
        names.require("postgres", allow_reserved=True)


@given(st.text(max_size=60))
def test_what_is_valid_fits_every_place_it_goes_to(name):
    if names.is_valid(name):
        assert re.fullmatch(r"[0-9A-Za-z_.-]{1,63}", name)
        assert name == name.lower().strip()
