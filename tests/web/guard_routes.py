"""The dashboard's routes as the table of pages names them."""

import re
from collections.abc import Iterator

from flask import Flask

from tests.api import test_guards as api

CHOICES = re.compile(r"<any\(([^)]*)\):(\w+)>")


def routes(app: Flask) -> dict[str, str]:
    """`METHOD endpoint` of each route outside the API, with its address; one for each of `any(…)`'s choices."""
    found = {}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.partition(".")[0] in (*api.BLUEPRINTS, "static"):
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            found |= {f"{method} {name}": address for name, address in _choices(rule.endpoint, rule.rule)}
    return found


def _choices(name: str, address: str) -> Iterator[tuple[str, str]]:
    choice = CHOICES.search(address)
    if choice is None:
        yield name, address
        return
    for word in choice[1].replace("'", "").split(","):
        yield f"{name} {word.strip()}", address.replace(choice[0], word.strip())
