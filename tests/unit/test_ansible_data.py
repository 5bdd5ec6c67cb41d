"""Whatever is stored, Ansible gets it back as it is and trusts none of it as a template."""

import json
from pathlib import Path
from typing import Any

import pytest
from ansible._internal._datatag._tags import TrustedAsTemplate
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webapp.services import ansible_data
from webapp.services.ansible_data import NotData, as_document

MARKERS = ["{{ 7 * 7 }}", "{% set x = 1 %}", "{# gone #}", "!unsafe x", "!vault |", "<<", "=", "123", "true", "~", "#x"]
TEXTS = st.text() | st.sampled_from(MARKERS) | st.builds("{}{}".format, st.text(), st.sampled_from(MARKERS))
VALUES = st.recursive(
    TEXTS | st.integers(-(2**63), 2**63) | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def loaded(folder: Path, document: str) -> Any:
    """As ansible-playbook reads `-e @file`, and its inventory plugins a file."""
    file = folder / "variables"
    file.write_text(document, encoding="utf-8")
    return DataLoader().load_from_file(str(file), cache="none", trusted_as_template=True)


def trusted(value: Any) -> list[str]:
    """The strings that Ansible would evaluate."""
    if isinstance(value, dict):
        return [text for item in (*value.keys(), *value.values()) for text in trusted(item)]
    if isinstance(value, list):
        return [text for item in value for text in trusted(item)]
    return [value] if TrustedAsTemplate.is_tagged_on(value) else []


@given(values=st.dictionaries(TEXTS, VALUES, max_size=4))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_values_come_back_untouched_and_untrusted(tmp_path: Path, values: dict[str, Any]) -> None:
    result = loaded(tmp_path, as_document(values))
    assert result == values
    assert trusted(result) == []


def test_what_is_not_marked_would_be_a_template(tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    assert trusted(loaded(tmp_path, json.dumps({"a": MARKERS[0]}))) == [MARKERS[0]]


@pytest.mark.parametrize("key", ["__ansible_unsafe", "__ansible_vault", "__ansible_type", "__ansible"])
def test_keys_that_mean_something_to_ansible_are_refused(key: str) -> None:
    with pytest.raises(NotData):
        as_document({"manifest": [{"deep": {key: "{{ 7 * 7 }}"}}]})


def nested(depth: int) -> Any:
    return {"a": nested(depth - 1)} if depth else "x"


@pytest.mark.parametrize("value", [nested(40), 10**400, "\ud800", float("nan"), {1: "x"}])
def test_what_ansible_could_not_read_is_refused(value: Any) -> None:
    with pytest.raises((NotData, ValueError)):
        as_document({"manifest": value})


def test_the_deepest_that_is_taken_can_be_read(tmp_path: Path) -> None:
    values = nested(ansible_data.MAX_DEPTH)
    assert loaded(tmp_path, as_document(values)) == values


@pytest.mark.parametrize(
    "broken", ['{"a": "{{ 7 * 7 }}",}', '{"a": "{{ 7 * 7 }}", "b": {"__ansible_vault": 1}}', "a: b"]
)
def test_what_is_no_json_is_not_read_as_yaml(tmp_path: Path, broken: str) -> None:
    """Ansible would fall back to YAML, where the marks are plain keys and every text is trusted."""
    assert loaded(tmp_path, broken)
    with pytest.raises(AnsibleError):
        loaded(tmp_path, ansible_data.JSON_ALONE + broken)
