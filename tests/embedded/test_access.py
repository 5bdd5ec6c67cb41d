"""Which folders must be opened, and who still needs one when a stack goes."""

import json
from pathlib import Path

import pytest

from webapp.embedded import access, acl
from webapp.embedded.environment import Stack


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "machine" / "access.json"
    monkeypatch.setattr(access, "REGISTRY", path)
    return path


def test_closed_parents_of_the_home_are_found_outermost_first(stack: Stack) -> None:
    parent, outer = stack.home.parent, stack.home.parent.parent
    parent.chmod(0o700)
    outer.chmod(0o700)
    found = [folder for folder, bits in access.closed_folders(stack) if bits == access.SEARCH]
    assert found.index(outer) < found.index(parent)
    parent.chmod(0o711)
    assert parent not in [folder for folder, _ in access.closed_folders(stack)]


def test_the_record_goes_with_the_last_grant(registry: Path) -> None:
    with access.registry() as grants:
        grants["/a"] = access.Grant(0o700, ["/home/one"])
    assert json.loads(registry.read_text()) == {"/a": {"mode": 0o700, "homes": ["/home/one"]}}
    with access.registry() as grants:
        assert grants["/a"].mode == 0o700
        del grants["/a"]
    assert not registry.parent.exists()


def test_a_record_is_kept_when_the_work_fails_half_way(registry: Path) -> None:
    def fail() -> None:
        with access.registry() as grants:
            grants["/a"] = access.Grant(0o700, ["/home/one"])
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert "/a" in json.loads(registry.read_text())


def test_a_folder_is_open_when_every_user_may_pass(tmp_path: Path) -> None:
    acl.write(tmp_path, acl.with_users(acl.read(tmp_path), [64001], 1))
    assert access.is_open(tmp_path, 1, [64001])
    assert not access.is_open(tmp_path, 1, [64001, 64002])
    assert not access.is_open(tmp_path, 5, [64001])
