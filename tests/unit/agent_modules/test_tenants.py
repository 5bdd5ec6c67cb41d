"""Items as they come in, and the host's memory of them."""

import pytest

from agent_modules.module_utils.dbhost import items, scram, store, tenants
from agent_modules.module_utils.dbhost.errors import TenantError

VERIFIER = scram.build(b"secret", b"0123456789abcdef")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"verifier": None}, "invalid_verifier"),
        ({"verifier": 'x"\n"y" "z'}, "invalid_verifier"),
        ({"networks": ["10.0.0.1/8"]}, "invalid_network"),
        ({"networks": ["all"]}, "invalid_network"),
        ({"networks": ["10.0.0.0/8 trust"]}, "invalid_network"),
        ({"networks": ["fe80::%eth0/64"]}, "invalid_network"),
        ({"connection_limit": -1}, "invalid_item"),
        ({"pool_size": 0}, "invalid_item"),
        ({"pool_mode": "statement"}, "invalid_item"),
        ({"state": "gone"}, "invalid_item"),
        ({"generation": -1}, "invalid_item"),
        ({"name": "postgres"}, "reserved_name"),
        ({"name": 'a"b'}, "invalid_name"),
    ],
)
def test_a_bad_item_is_refused_alone_and_never_quoted(given, code):
    good = {"name": "good-one", "state": "present", "verifier": VERIFIER}
    bad = {"name": "bad-one", "state": "present", "verifier": VERIFIER, **given}
    wanted, [refused] = items.parse_all([good, bad], allow_reserved=False)
    assert [item.name for item in wanted] == ["good-one"]
    assert refused.error.code == code
    assert VERIFIER not in str(refused.as_dict())


def test_a_name_that_comes_twice_counts_once():
    item = {"name": "good-one", "state": "absent"}
    wanted, [refused] = items.parse_all([item, item], allow_reserved=False)
    assert (len(wanted), refused.error.code) == (1, "duplicate_name")


def test_networks_get_one_form():
    assert tenants.networks(["10.1.2.3", "2001:DB8::/32"]) == ("10.1.2.3/32", "2001:db8::/32")


def test_a_verifier_is_in_no_repr():
    assert VERIFIER not in repr(tenants.TenantDatabase("shop", verifier=VERIFIER))
    assert VERIFIER not in repr(store.Entry(verifier=VERIFIER, tombstone=VERIFIER))


def test_an_unexpected_failure_is_a_sentence_without_values():
    wanted = [tenants.TenantDatabase("shop", verifier=VERIFIER)]

    def fail():
        raise RuntimeError(VERIFIER)

    [result] = items.guarded(wanted, fail)
    assert result.error.code == "unexpected"
    assert VERIFIER not in str(result.as_dict())


def test_the_store_remembers_and_refuses_older_generations(tmp_path):
    wanted = tenants.TenantDatabase("shop", generation=5, networks=("10.0.0.0/8",), verifier=VERIFIER)
    held = {"shop": store.Entry(generation=5, networks=wanted.networks)}
    store.save(tmp_path, held)
    assert store.load(tmp_path) == held
    store.require_current(held, wanted)
    store.require_current(held, tenants.TenantDatabase("shop"))
    with pytest.raises(TenantError) as caught:
        store.require_current(held, tenants.TenantDatabase("shop", generation=4))
    assert (caught.value.code, caught.value.retryable) == ("stale_generation", False)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"tenants": {"shop": {"unknown": 1}}}', '{"tenants": 3}'])
def test_a_damaged_store_is_refused_and_left_alone(tmp_path, text):
    (tmp_path / "tenants.json").write_text(text)
    with pytest.raises(TenantError) as caught:
        store.load(tmp_path)
    assert caught.value.code == "store_damaged"
    assert (tmp_path / "tenants.json").read_text() == text
