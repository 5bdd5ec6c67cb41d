# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""See how a backup or a restore goes; once it has ended, a person's run is noted in the host's journal."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

PLAYBOOKS = {"backup": "backup.yml", "batch": "backups.yml", "restore": "restore.yml"}


class ActionModule(ActionBase):
    """The module of the same name does the looking, with the same arguments."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the module returns; failed, too, when the journal could not be written."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        result |= self._execute_module("tenant_job", task_vars=task_vars)
        if not result.get("finished"):
            return result
        found = result[self._task.args["result"]]
        databases = [item for item in found.get("backups", [found]) if "name" in item]
        journal = self._shared_loader_obj.action_loader.get("host_journal", class_only=True)
        written = journal.note(self, PLAYBOOKS[self._task.args["result"]], databases, task_vars)
        return {**result, "failed": True, "msg": written["msg"]} if written.get("failed") else result
