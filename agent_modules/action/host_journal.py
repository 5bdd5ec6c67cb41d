# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Note in the host's journal what a person's run changed; who that is, this machine knows."""

from __future__ import annotations

import getpass
import os
import socket
from typing import Any

from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    """The module's arguments but `who`. What neither changed nor failed is no event.

    Whoever keeps a record of their own says so by DBHOST_RUN_RECORDED, and nothing is sent to the host then.
    """

    _supports_check_mode = True
    _VALID_ARGS = frozenset({"state_dir", "playbook", "databases"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """What the module returns, or nothing where there was nothing to note."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        told = [item for item in arguments["databases"] if item.get("changes") or item.get("error")]
        if not told or self._task.check_mode or os.environ.get("DBHOST_RUN_RECORDED"):
            return result
        sent = {**arguments, "who": operator(), "databases": told}
        return {**result, **self._execute_module("host_journal", module_args=sent, task_vars=task_vars)}

    @classmethod
    def note(cls, action: ActionBase, playbook: str, databases: list[dict[str, Any]], task_vars: Any) -> dict[str, Any]:
        """Let another action plugin note what it knows, as if this task came next; its `state_dir` says where."""
        task = action._task.copy()
        task.args = {"state_dir": task.args["state_dir"], "playbook": playbook, "databases": databases}
        after = cls(
            task=task,
            connection=action._connection,
            play_context=action._play_context,
            loader=action._loader,
            templar=action._templar,
            shared_loader_obj=action._shared_loader_obj,
        )
        return after.run(task_vars=task_vars)


def operator() -> str:
    """Who runs the playbook: by DBHOST_OPERATOR, or as this machine knows them, through sudo too."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):
        name = str(os.getuid())
    return os.environ.get("DBHOST_OPERATOR") or f"{name}@{socket.gethostname()}"
