# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the list modules have in common: the options of an item, and each item's own result whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Any

from . import members, tenants
from .errors import TenantError, of_files
from .results import Result
from .tenants import TenantDatabase

MEMBER_OPTIONS: dict[str, dict[str, Any]] = {
    "role": {"type": "str", "required": True},
    "level": {"type": "str", "required": True, "choices": list(members.LEVELS)},
    "verifier": {"type": "str", "required": True, "no_log": True},
}
ITEM_OPTIONS: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "required": True},
    "generation": {"type": "int"},
    "state": {"type": "str", "default": "present", "choices": list(tenants.STATES)},
    "verifier": {"type": "str", "no_log": True},
    "connection_limit": {"type": "int", "default": 40},
    "pool_size": {"type": "int", "default": 25},
    "direct_pool_size": {"type": "int", "default": 10},
    "pool_mode": {"type": "str", "default": "transaction", "choices": list(tenants.POOL_MODES)},
    "networks": {"type": "list", "elements": "str", "default": []},
    "disconnect": {"type": "bool", "default": False},
    "repair_ownership": {"type": "bool", "default": False},
    "read_only": {"type": "bool", "default": False},
    "held_as": {"type": "str"},
    "members": {"type": "list", "elements": "dict", "default": [], "options": MEMBER_OPTIONS},
}


def parse_all(items: Sequence[dict[str, Any]], *, allow_reserved: bool) -> tuple[list[TenantDatabase], list[Result]]:
    """The items that can be worked on, and the results of those that cannot."""
    wanted: dict[str, TenantDatabase] = {}
    refused = []
    for item in items:
        try:
            database = tenants.parse(item, allow_reserved=allow_reserved)
            _require_first(database, wanted)
            wanted[database.name] = database
        except TenantError as error:
            refused.append(Result(item["name"], item.get("generation"), item["state"], error=error))
    return list(wanted.values()), refused


def _require_first(database: TenantDatabase, wanted: Container[str]) -> None:
    if database.name in wanted:
        raise TenantError("duplicate_name", "The list names this database twice; the first one counts.")


def guarded(wanted: Sequence[TenantDatabase], work: Callable[[], list[Result]]) -> list[Result]:
    """The results of *work*; if it fails as a whole, every database of it fails with a sentence and no traceback.

    A traceback would quote values, and Ansible's censoring knows nothing of it.
    """
    try:
        return work()
    except TenantError as error:
        return [Result.of(database, error) for database in wanted]
    except OSError as error:
        return [Result.of(database, of_files(error)) for database in wanted]
    except Exception as error:  # noqa: BLE001  # a module's outermost: what it prints must never hold a value
        unexpected = TenantError(
            "unexpected", f"The module failed unexpectedly ({type(error).__name__}).", retryable=True
        )
        return [Result.of(database, unexpected) for database in wanted]
