# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of the modules of dumps and restores."""

from __future__ import annotations

from typing import Any

Options = dict[str, dict[str, Any]]

UPLOAD: Options = {
    "part_size": {"type": "int", "required": True},
    "part_urls": {"type": "list", "elements": "str", "required": True, "no_log": True},
}
BACKUP: Options = {
    "name": {"type": "str", "required": True},
    "folder": {"type": "str", "required": True},
    "filename": {"type": "str", "required": True},
    "store": {"type": "str", "choices": ["host", "upload"], "default": "host"},
    "upload": {"type": "dict", "options": UPLOAD},
    "age_recipients": {"type": "list", "elements": "str", "default": []},
}
SOURCE: Options = {
    "kind": {"type": "str", "choices": ["host", "url", "file"], "required": True},
    "folder": {"type": "str"},
    "filename": {"type": "str"},
    "url": {"type": "str", "no_log": True},
    "path": {"type": "path"},
    "size_bytes": {"type": "int"},
    "sha256": {"type": "str"},
    "format": {"type": "str", "choices": ["auto", "plain", "plain_gzip", "custom"], "default": "auto"},
    "age_identity": {"type": "str", "no_log": True},
    "database": {"type": "str"},
    "allow_incomplete": {"type": "bool", "default": False},
}
RESTORE: Options = {
    "name": {"type": "str", "required": True},
    "into": {"type": "str", "choices": ["replace", "new", "scratch"], "required": True},
    "source": {"type": "dict", "required": True, "options": SOURCE},
    "expect": {"type": "dict"},
    "generation": {"type": "int"},
    "connection_limit": {"type": "int", "default": 40},
    "keep_replaced": {"type": "bool", "default": False},
}
FILE: Options = {
    "folder": {"type": "str", "required": True},
    "filename": {"type": "str", "required": True},
}
