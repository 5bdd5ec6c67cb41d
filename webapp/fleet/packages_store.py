"""Packages that fleets fetched, kept beside the image that they share: a new fleet begins with them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# apt-cacher-ng keeps what the server said of a file beside it. Indexes are asked for anew by each fleet.
KEPT = (".deb", ".deb.head")


def take(store: Path, cache: Path, owner: str) -> None:
    """Put the store's packages into a cache that has none yet."""
    if not store.is_dir() or any(cache.iterdir()):
        return
    shutil.copytree(store, cache, dirs_exist_ok=True)
    for path in (cache, *cache.rglob("*")):
        shutil.chown(path, owner, owner)


def give(cache: Path, store: Path) -> None:
    """Keep the cache's packages; each appears in the store whole or not at all, whoever else gives at the same time."""
    if not cache.is_dir():
        return
    for path in cache.rglob("*"):
        kept = store / path.relative_to(cache)
        if path.name.endswith(KEPT) and path.is_file() and not kept.exists():
            kept.parent.mkdir(parents=True, exist_ok=True)
            partial = kept.with_name(f".{kept.name}.{os.getpid()}")
            shutil.copyfile(path, partial)
            partial.replace(kept)
