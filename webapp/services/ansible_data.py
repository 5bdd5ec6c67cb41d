"""Hand values to Ansible as data: whatever they hold, it never evaluates them as a template.

Ansible trusts every string of an extra vars file or an inventory as a Jinja template, and a template runs
commands on the machine that runs Ansible. All that the control database says leaves through here.
"""

import json
from collections.abc import Mapping
from typing import Any

UNSAFE = "__ansible_unsafe"
RESERVED = "__ansible"  # Ansible reads meaning into keys of this kind
MAX_DEPTH = 32
MAX_INTEGER = 2**64
# YAML refuses a tab here. Ansible would otherwise read what fails as JSON once more as YAML, where no mark counts.
JSON_ALONE = "\t"


class NotData(ValueError):
    """A stored value that Ansible would take for something else than data, or could not read."""


def as_document(values: Mapping[str, Any]) -> str:
    """The text of an extra vars file or of a static inventory. Raises NotData."""
    return JSON_ALONE + json.dumps(as_data(values), allow_nan=False)


def as_data(value: Any, depth: int = 0) -> Any:
    """*value* with every string marked, at any depth; for JSON that Ansible reads. Raises NotData."""
    if depth > MAX_DEPTH:
        raise NotData(f"A value is nested more than {MAX_DEPTH} levels deep.")
    if isinstance(value, str):
        return {UNSAFE: _checked(value)}
    if isinstance(value, Mapping):
        return {_key(key): as_data(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_data(item, depth + 1) for item in value]
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise NotData("A number is too large.")
    return value


def _key(key: Any) -> str:
    if not isinstance(key, str) or key.startswith(RESERVED):
        raise NotData("A key has a name that Ansible keeps for itself.")
    return _checked(key)


def _checked(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotData("A text has characters that are not valid Unicode.") from None
    return text
