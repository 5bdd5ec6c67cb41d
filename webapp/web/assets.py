"""Addresses of built assets that change with their content, so that browsers may keep them for good."""

from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from flask import url_for

STATIC = Path(__file__).parent.parent / "static"


@lru_cache(maxsize=64)
def _version(name: str) -> str:
    return sha256((STATIC / name).read_bytes()).hexdigest()[:10]


def asset_url(name: str) -> str:
    """The address of a file in webapp/static, with the hash of its content."""
    return url_for("static", filename=name, v=_version(name))
