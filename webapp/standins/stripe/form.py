"""Stripe's form encoding: `line_items[0][price_data][currency]=usd` as nested values."""

import re
from collections.abc import Iterable
from typing import Any

PART = re.compile(r"[^\[\]]+")


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Nested dicts of *pairs*; what counts from 0 becomes a list. `true`, `false` and numbers stay text."""
    root: dict[str, Any] = {}
    for name, value in pairs:
        *path, last = PART.findall(name) or [name]
        place = root
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return {name: _lists(value) for name, value in root.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    held = {name: _lists(inner) for name, inner in value.items()}
    if held and all(name.isdecimal() for name in held):
        return [held[name] for name in sorted(held, key=int)]
    return held


def is_true(value: Any) -> bool:
    return str(value).lower() == "true"
