# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why one database could not be converged, as a word for programs and a sentence for people."""

from __future__ import annotations

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
