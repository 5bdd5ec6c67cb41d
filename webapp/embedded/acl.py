"""POSIX access lists by extended attribute: the kernel's own format, so that package `acl` need not be there.

Linux, include/uapi/linux/posix_acl_xattr.h: a version word, then (tag, permissions, id) in order of tag and id.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

ATTRIBUTE = "system.posix_acl_access"
VERSION = 2
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NO_ID = 0xFFFFFFFF
HEADER, ENTRY = struct.Struct("<I"), struct.Struct("<HHI")


@dataclass(frozen=True, order=True)
class Entry:
    tag: int
    id: int
    permissions: int


def read(path: Path) -> list[Entry]:
    """The access list of *path*; the one that its mode stands for when it has none of its own."""
    try:
        raw = os.getxattr(path, ATTRIBUTE)
    except OSError:
        mode = path.stat().st_mode
        return [
            Entry(USER_OBJ, NO_ID, mode >> 6 & 7),
            Entry(GROUP_OBJ, NO_ID, mode >> 3 & 7),
            Entry(OTHER, NO_ID, mode & 7),
        ]
    return [Entry(tag, number, permissions) for tag, permissions, number in ENTRY.iter_unpack(raw[HEADER.size :])]


def with_users(entries: list[Entry], uids: list[int], permissions: int) -> list[Entry]:
    """*entries* with *permissions* for each of *uids*, and a mask that lets them through."""
    kept = [entry for entry in entries if entry.tag != MASK and not (entry.tag == USER and entry.id in uids)]
    mask = permissions
    for entry in entries:
        if entry.tag in (GROUP_OBJ, MASK):
            mask |= entry.permissions
    return sorted([*kept, *(Entry(USER, uid, permissions) for uid in uids), Entry(MASK, NO_ID, mask)])


def without_users(entries: list[Entry], uids: list[int]) -> list[Entry]:
    return [entry for entry in entries if not (entry.tag == USER and entry.id in uids)]


def write(path: Path, entries: list[Entry]) -> None:
    """Set the list; raises OSError where the filesystem has none."""
    packed = b"".join(ENTRY.pack(entry.tag, entry.permissions, entry.id) for entry in sorted(entries))
    os.setxattr(path, ATTRIBUTE, HEADER.pack(VERSION) + packed)


def remove(path: Path, mode: int) -> None:
    """Drop the list and put *mode* back: with a list, the mode's group digit had shown its mask."""
    os.removexattr(path, ATTRIBUTE)
    path.chmod(mode)
