"""Verifiers: their form, and that a tombstone cannot be logged in with."""

import base64

import pytest

from agent_modules.module_utils.dbhost import scram
from agent_modules.module_utils.dbhost.errors import TenantError

GOOD = scram.build(b"pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
HOSTILE = [
    "",
    "pencil",
    "md5" + "0" * 32,
    GOOD + "\n",
    GOOD + '"',
    GOOD.replace("$", "$ ", 1),
    GOOD.replace("4096", "1"),
    GOOD.replace("4096", "0x10"),
    GOOD[:-4],
    GOOD.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "W22Z"),
    "SCRAM-SHA-256$4096:====$====:====",
]


def test_build_is_what_rfc_7677_says():
    stored, server = GOOD.split("$")[2].split(":")
    assert stored == "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
    assert server == "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="


@pytest.mark.parametrize("verifier", HOSTILE)
def test_what_postgresql_would_hash_or_pgbouncer_misread_is_refused(verifier):
    with pytest.raises(TenantError) as caught:
        scram.parse(verifier)
    assert caught.value.code == "invalid_verifier"
    assert verifier not in caught.value.message or not verifier


def test_each_tombstone_is_a_verifier_of_its_own():
    assert scram.parse(scram.tombstone()) != scram.parse(scram.tombstone())
