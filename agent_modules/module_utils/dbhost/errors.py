# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why one database could not be converged, as a word for programs and a sentence for people."""

from __future__ import annotations

import errno
from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class TenantError(Exception):
    """One database's failure. *message* never holds a value that a caller sent."""

    code: str
    message: str
    retryable: bool = False
    step: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The form that a module returns for its item."""
        return asdict(self)


def of_files(error: OSError, step: str = "") -> TenantError:
    """Trouble with the host's own files as a sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TenantError("host_disk_full", "The host's disk is full; what was there is untouched.", True, step)
    return TenantError("store_unavailable", f"The host's files cannot be used ({type(error).__name__}).", True, step)
