"""Packages that one fleet fetched are there for the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from webapp.fleet import packages_store


@pytest.fixture(autouse=True)
def unowned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages_store.shutil, "chown", lambda *_: None)


def fetched(folder: Path, name: str, content: str = "package") -> None:
    path = folder / "debrep/pool" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_packages_go_to_the_store_and_into_a_new_cache(tmp_path: Path) -> None:
    store, first, second = (tmp_path / name for name in ("store", "first", "second"))
    second.mkdir()
    for name in ("a.deb", "a.deb.head", "InRelease"):
        fetched(first, name)
    packages_store.give(first, store)
    assert names(store) == {"a.deb", "a.deb.head"}
    packages_store.take(store, second, "apt-cacher-ng")
    assert names(second) == {"a.deb", "a.deb.head"}


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    store, cache = tmp_path / "store", tmp_path / "cache"
    fetched(cache, "a.deb", "newer")
    fetched(store, "a.deb", "older")
    packages_store.give(cache, store)
    assert (store / "debrep/pool/a.deb").read_text() == "older"
    packages_store.take(store, cache, "apt-cacher-ng")
    assert (cache / "debrep/pool/a.deb").read_text() == "newer"


def test_without_a_cache_or_a_store_nothing_happens(tmp_path: Path) -> None:
    packages_store.give(tmp_path / "none", tmp_path / "store")
    (tmp_path / "cache").mkdir()
    packages_store.take(tmp_path / "store", tmp_path / "cache", "apt-cacher-ng")
    assert names(tmp_path) == set()
