"""Access lists as the kernel takes and gives them."""

import os
from pathlib import Path

from webapp.embedded import acl

STRANGERS = [64001, 64002]


def test_users_may_pass_and_the_mode_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    acl.write(folder, acl.with_users(acl.read(folder), STRANGERS, 1))
    granted = {entry.id: entry.permissions for entry in acl.read(folder) if entry.tag == acl.USER}
    assert granted == dict.fromkeys(STRANGERS, 1)
    acl.remove(folder, 0o700)
    assert acl.ATTRIBUTE not in os.listxattr(folder)
    assert folder.stat().st_mode & 0o7777 == 0o700


def test_a_list_that_was_there_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o750)
    acl.write(folder, acl.with_users(acl.read(folder), [64003], 7))
    before = acl.read(folder)
    acl.write(folder, acl.with_users(before, STRANGERS, 1))
    acl.write(folder, acl.without_users(acl.read(folder), STRANGERS))
    assert acl.read(folder) == before


def test_a_second_grant_changes_nothing() -> None:
    once = acl.with_users([acl.Entry(acl.USER_OBJ, acl.NO_ID, 7), acl.Entry(acl.GROUP_OBJ, acl.NO_ID, 0)], STRANGERS, 1)
    assert acl.with_users(once, STRANGERS, 1) == once


def test_the_mask_never_takes_away() -> None:
    entries = [acl.Entry(acl.GROUP_OBJ, acl.NO_ID, 5)]
    mask = next(entry for entry in acl.with_users(entries, STRANGERS, 1) if entry.tag == acl.MASK)
    assert mask.permissions == 5
