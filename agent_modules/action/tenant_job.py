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
        written = self._journal([item for item in found.get("backups", [found]) if "name" in item], task_vars)
        return {**result, "failed": True, "msg": written["msg"]} if written.get("failed") else result

    def _journal(self, databases: list[dict[str, Any]], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        task = self._task.copy()
        playbook = PLAYBOOKS[task.args["result"]]
        task.args = {"state_dir": task.args["state_dir"], "playbook": playbook, "databases": databases}
        action = self._shared_loader_obj.action_loader.get(
            "host_journal",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        written: dict[str, Any] = action.run(task_vars=task_vars)
        return written
