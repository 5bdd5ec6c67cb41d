"""Carry out a run's tasks in its own process, and compile each template once.

Ansible forks a process for each task, so that many hosts are served beside each other; a run of ours has one host.
Only for actions that are known to need nothing of such a process; others are forked as ever. Leans on ansible-core's
private API (2.21), which the tests hold against the plain command.
"""

from collections.abc import Callable
from typing import Any

from webapp.worker import in_process

ACTIONS = frozenset(
    {
        "ansible.builtin.assert",
        "ansible.builtin.set_fact",
        "ansible.builtin.validate_argument_spec",
        "host_journal",
        "tenant_report",
        *in_process.NAMES,
    }
)


def install() -> None:
    """For this process and all that are forked from it. Call it once."""
    _carry_out_tasks_here()
    _compile_templates_once()


def _carry_out_tasks_here() -> None:
    from ansible._internal import _rpc_host
    from ansible.executor.process.worker import WorkerProcess

    fork, start_rpc_server = WorkerProcess.start, _rpc_host.LocalManager.shared_instance

    def start(worker: Any) -> None:
        if worker._task.action in ACTIONS and not worker._task.loop and not worker._task.async_val:
            _carry_out(worker)
            return
        start_rpc_server()
        fork(worker)

    WorkerProcess.start = start
    # Only forked tasks speak to it, so it starts with the first of them.
    _rpc_host.LocalManager.shared_instance = classmethod(lambda manager: manager._shared_instance)


def _carry_out(worker: Any) -> None:
    """What `WorkerProcess._run` does, on a copy of the task as a forked process would have."""
    from ansible._internal import _task
    from ansible.executor.task_executor import TaskExecutor

    task = worker._task.copy(exclude_parent=True, exclude_tasks=True)
    task._parent = worker._task._parent
    with _task.TaskContext.create(task=task, task_vars=worker._task_vars, host_name=worker._host.name):
        task.squash()
        result = TaskExecutor(
            worker._host,
            worker._play_context,
            worker._loader,
            worker._shared_loader_obj,
            worker._final_q,
            worker._variable_manager,
        ).run()
        result.finalize_registered_values()
        task.ignore_errors, task.ignore_unreachable = result.ignore_errors, result.ignore_unreachable
        worker._final_q.send_task_result(worker._host, task, result)


def _compile_templates_once() -> None:
    """A template engine is made for each task, and each would compile the same templates again."""
    from ansible._internal._templating import _engine

    engine = _engine.TemplateEngine
    environments: dict[str, Any] = {}

    def environment(self: Any) -> Any:
        if self._environment is None:
            if self.basedir not in environments:
                environments[self.basedir] = _engine.AnsibleEnvironment(ansible_basedir=self.basedir)
            self._environment = environments[self.basedir]
        return self._environment

    engine.environment = property(environment)
    engine._compile_template = _remembering(engine._compile_template)
    engine._compile_expression = _remembering(engine._compile_expression)


def _remembering(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what *compile_* makes of a text. Errors are not kept: each is told with its own place."""
    from ansible._internal._templating import _jinja_bits, _utils
    from ansible.module_utils._internal._datatag import AnsibleTagHelper

    kept: dict[Any, Any] = {}
    compiled = (_jinja_bits.AnsibleTemplate, _jinja_bits.AnsibleTemplateExpression)

    def once(engine: Any, text: str, options: Any) -> Any:
        context = _utils.TemplateContext.current(optional=True)
        literal = bool(context and context._render_jinja_const_template)
        tags = AnsibleTagHelper.tags(text)
        name = (text, tags, options.escape_backslashes, options.overrides, literal, engine.basedir)
        try:
            found = kept.get(name)
        except TypeError:  # a tag that cannot be compared
            return compile_(engine, text, options)
        if found is None:
            found = compile_(engine, text, options)
            if isinstance(found, compiled):
                kept[name] = found
        return found

    return once
