# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options that several of our modules take alike; `doc_fragments/dbhost.py` documents them."""

from __future__ import annotations

from typing import Any

Options = dict[str, dict[str, Any]]

CLUSTER: Options = {
    "socket_dir": {"type": "path", "required": True},
    "port": {"type": "int", "default": 5432},
    "provisioner": {"type": "str", "default": "dbhost_provisioner"},
}
DUMPS: Options = {
    "state_dir": {"type": "path", "required": True},
    "dump_user": {"type": "str", "default": "dbhost_dump"},
    "dump_socket": {"type": "path"},
    "bin_dir": {"type": "path", "required": True},
}
