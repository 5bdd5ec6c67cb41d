# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module says about one database. Nothing in it is secret."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .errors import TenantError
from .tenants import TenantDatabase


@dataclass
class Result:
    """The changes made to one database (in check mode: that would be made), or why not."""

    name: str
    generation: int | None = None
    state: str = ""
    changes: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    error: TenantError | None = None

    @classmethod
    def of(cls, wanted: TenantDatabase, error: TenantError | None = None) -> Result:
        """An empty result for *wanted*."""
        return cls(wanted.name, wanted.generation, wanted.state, error=error)

    def as_dict(self) -> dict[str, Any]:
        """The form of the report task in databases.yml."""
        return {
            "name": self.name,
            "generation": self.generation,
            "state": self.state,
            "changed": bool(self.changes),
            "changes": self.changes,
            "notes": self.notes,
            "error": self.error.as_dict() if self.error else None,
        }
