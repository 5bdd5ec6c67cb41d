"""Run our own modules inside the forked run instead of starting a Python for each: half of a create's time.

Only in a child of the fork server, only for a local connection without become, and only while the modules on disk
are those that were imported; everything else takes Ansible's own way. Leans on ansible-core's private API.
"""

import contextlib
import importlib.util
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

AGENT_MODULES = Path(__file__).resolve().parents[2] / "agent_modules"
NAMES = (
    "tenant_databases",
    "pgbouncer_tenants",
    "host_report",
    "host_strangers",
    "tenant_backup",
    "tenant_backups",
    "tenant_restore",
    "tenant_job",
    "tenant_backup_files",
    "tenant_activity",
)
PROFILE = "legacy"  # how Ansible serializes a module's arguments and result

_imported: dict[str, ModuleType] = {}


def preload() -> None:
    """Import the modules with all they need, psycopg above all."""
    import ansible.module_utils

    ansible.module_utils.__path__.append(str(AGENT_MODULES / "module_utils"))
    for name in NAMES:
        load(AGENT_MODULES / "modules" / f"{name}.py")


def load(file: Path) -> None:
    """Import one module under its name in playbooks."""
    spec = importlib.util.spec_from_file_location(f"dbhost_module_{file.stem}", file)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    _imported[file.stem] = module


def install() -> None:
    """In a run's process: let actions execute the imported modules here where that is the same thing."""
    from ansible.plugins.action import ActionBase

    ActionBase._execute_module = _or_plainly(ActionBase._execute_module)


def _or_plainly(plainly: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def execute(
        action: Any,
        module_name: str | None = None,
        module_args: dict[str, Any] | None = None,
        task_vars: dict[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        module = _imported.get(module_name or action._task.action)
        if module is None or options.get("wrap_async") or not _is_here(action, task_vars or {}):
            return plainly(action, module_name, module_args, task_vars=task_vars, **options)
        arguments = action._task.args if module_args is None else module_args
        action._update_module_args(module_name or action._task.action, arguments, task_vars or {})
        return _result(action, _run(module, arguments))

    return execute


def _is_here(action: Any, task_vars: dict[str, Any]) -> bool:
    """Whether the module would run as this user, with this Python, in this environment anyway."""
    task = action._task
    if action._connection.transport != "local" or action._connection.become or task.async_val:
        return False
    if any(task.environment):
        return False
    interpreter = action._templar.template(task_vars.get("ansible_python_interpreter"))
    return bool(interpreter) and Path(str(interpreter)) == Path(sys.executable)


def _run(module: ModuleType, arguments: dict[str, Any]) -> str:
    """What the module prints. It ends by SystemExit, as every module does."""
    from ansible.module_utils import basic
    from ansible.module_utils.common import json as serializing

    encoder = serializing.get_module_encoder(PROFILE, serializing.Direction.CONTROLLER_TO_MODULE)
    sent = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder).encode()
    printed = io.StringIO()
    with (
        mock.patch.object(basic, "_ANSIBLE_ARGS", sent),
        mock.patch.object(basic, "_ANSIBLE_PROFILE", PROFILE),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        module.main()
    return printed.getvalue()


def _result(action: Any, printed: str) -> dict[str, Any]:
    """As Ansible makes it of a module's output."""
    result = action._parse_returned_data({"rc": 0, "stdout": printed, "stderr": ""}, PROFILE)
    result.remove_internal_keys()
    found: dict[str, Any] = result.as_result_dict(for_round_trip=True)
    return found
