# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put together what the phases of databases.yml said about each database; fail if one of them failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """`phases` are the registered results, in order.

    What a person's run changed is noted in the host's journal, below `state_dir`; without that, as for the control
    plane's own database, it is not.
    """

    _supports_check_mode = True
    _VALID_ARGS = frozenset({"phases", "state_dir"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The report that the worker reads: `databases` holds no secret."""
        result = super().run(tmp, task_vars)
        phases = [phase for phase in self._task.args["phases"] if not phase.get("skipped")]
        databases = merge([item for phase in phases for item in phase.get("databases", [])])
        changes = unique(change for phase in phases for change in phase.get("changes", []))
        failed = [item["name"] for item in databases if item["error"]]
        broken = [str(phase.get("msg", "A module failed.")) for phase in phases if phase.get("failed")]
        broken += self._journal(databases, task_vars or {})
        return {
            **result,
            "databases": databases,
            "changes": changes,
            "changed": bool(changes) or any(item["changed"] for item in databases),
            "diff": [statements(databases, changes), *files(phases)],
            "failed": bool(failed or broken),
            "msg": " ".join(broken) or (f"Failed: {', '.join(failed)}" if failed else "All converged"),
        }

    def _journal(self, databases: list[dict[str, Any]], task_vars: dict[str, Any]) -> list[str]:
        """Note what was changed; why it could not be noted."""
        if not self._task.args.get("state_dir"):
            return []
        journal = self._shared_loader_obj.action_loader.get("host_journal", class_only=True)
        written = journal.note(self, "databases.yml", databases, task_vars)
        return [str(written.get("msg", "The host's journal was not written."))] if written.get("failed") else []


def merge(items: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry a database: changes and notes of all phases in order, and the first error.

    A check predicts the same change in each phase that would make it, so each is named once.
    """
    found: dict[str, dict[str, Any]] = {}
    for item in items:
        entry = found.setdefault(item["name"], {**item, "changes": [], "notes": [], "error": None})
        entry["changes"] = unique([*entry["changes"], *item["changes"]])
        entry["notes"] = unique([*entry["notes"], *item["notes"]])
        entry["changed"] = bool(entry["changes"])
        entry["error"] = entry["error"] or item["error"]
    return list(found.values())


def statements(databases: list[dict[str, Any]], changes: list[str]) -> dict[str, str]:
    """What was done or would be, as --diff shows it: the modules' own tasks show nothing, as they hold secrets."""
    lines = [f"+ {change}" for change in [*changes, *(change for item in databases for change in item["changes"])]]
    lines += [f"# {item['name']}: {note}" for item in databases for note in item["notes"]]
    return {"prepared": "\n".join([*lines, ""]) if lines else ""}


def files(phases: list[Mapping[str, Any]]) -> list[dict[str, str]]:
    """The files without secrets, from before the first phase to after the last."""
    found: dict[str, dict[str, str]] = {}
    for phase in phases:
        for difference in phase.get("differences", []):
            first = found.get(difference["after_header"], difference)
            found[difference["after_header"]] = {**difference, "before": first["before"]}
    return list(found.values())


def unique(values: Iterable[str]) -> list[str]:
    """*values* without repetitions, in order."""
    return list(dict.fromkeys(values))
