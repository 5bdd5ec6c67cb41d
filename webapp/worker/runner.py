"""Run a playbook through ansible-runner, the only place that does; what comes back is allow-listed."""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pexpect
from ansible_runner.config.runner import RunnerConfig
from ansible_runner.runner import Runner
from ansible_runner.streaming import Processor
from ansible_runner.utils import get_callback_dir

from webapp.services import ansible_data
from webapp.services.host_rules import is_host_name
from webapp.services.reports import Report
from webapp.worker import environment, host_keys, processes, report, warm_client
from webapp.worker.steps import Steps

LOOK_S = 0.2
SETTINGS = {"pexpect_timeout": LOOK_S, "suppress_output_file": True}
PATIENCE_S = 5.0
TOTALS = ("ok", "changed", "failures", "dark", "skipped", "processed")
ENDINGS = {"runner_on_skipped": "skipped", "runner_on_failed": "failed", "runner_on_unreachable": "unreachable"}


class QuickSpawn(pexpect.spawn):  # type: ignore[misc]
    """pexpect sleeps 0.1 s before it closes; ansible-runner closes only what has ended."""

    def close(self, force: bool = True) -> None:
        self.ptyproc.delayafterclose = 0
        super().close(force)


pexpect.spawn = QuickSpawn


def fork_server_environment() -> dict[str, str]:
    """What the fork server is started with: of a run's environment, all that Ansible reads when it is imported."""
    callbacks = {"ANSIBLE_STDOUT_CALLBACK": "awx_display", "ANSIBLE_CALLBACK_PLUGINS": get_callback_dir()}
    return environment.of_playbooks({**os.environ, **callbacks})


@dataclass(frozen=True)
class Job:
    """What to run, where, with what; *variables* may hold verifiers."""

    playbook: Path
    host: str
    variables: dict[str, Any] = field(repr=False)
    timeout_s: float
    check: bool = False


@dataclass
class Outcome:
    """How a run ended. *stopped* is why it was ended early, by our own flag: the runner's would say `failed`.

    *key_refused* is found out afterwards, by `Server.play`.
    *reports* has the raw result of each task named "Report …", for whoever reads it by a model of its own.
    """

    results: dict[str, report.Item] = field(default_factory=dict)
    host_report: Report | None = None
    reports: dict[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    totals: dict[str, int] = field(default_factory=dict)
    unreachable: bool = False
    key_refused: bool = False
    stopped: str | None = None
    failed_step: str | None = None
    ok: bool = False

    def why(self, what: str) -> str:
        """Why a run for *what* brought no report, for a person."""
        reasons: tuple[tuple[object, str], ...] = (
            (self.key_refused, host_keys.WORDS),
            (self.unreachable, "The host cannot be reached."),
            (self.stopped == "timeout", f"The {what} took too long."),
            (self.stopped, "The worker was stopped."),
        )
        return next((sentence for holds, sentence in reasons if holds), "The host gave no report.")


class PlaybookRun:
    """One invocation: the private folder, the events, the early end."""

    def __init__(
        self,
        job: Job,
        inventory: Sequence[Path],
        folder: Path,
        steps: Steps,
        stop: Callable[[], str | None],
        warm_socket: str,
    ) -> None:
        self._job = job
        self._inventory = inventory
        self._folder = folder
        self._steps = steps
        self._stop = stop
        self._warm_socket = warm_socket
        self._outcome = Outcome()
        self._deadline = time.monotonic() + job.timeout_s

    def run(self) -> Outcome:
        """Run to the end, remove the folder, say how it went. Does not raise for a playbook that fails."""
        try:
            if not is_host_name(self._job.host):  # to Ansible a name is a pattern, or the name of a file
                return Outcome(unreachable=True)
            config = self._configure()
            code = self._run_warm(config)
            if code is None:
                code = self._run_plainly(config)
            self._outcome.ok = code == 0 and self._outcome.stopped is None
        finally:
            self._steps.close()
            processes.end(self._pids(), PATIENCE_S)  # what a crash may have left; usually nothing
            shutil.rmtree(self._folder, ignore_errors=True)
        return self._outcome

    def _run_warm(self, config: Any) -> int | None:
        """Have the fork server run the command; its exit code, or None when there is no server or it declines."""
        if not self._warm_socket:
            return None
        warm = warm_client.ask(self._warm_socket, config.command, config.env, config.cwd)
        if warm is None:
            return None
        with warm:
            pids = self._folder / environment.PIDS
            pids.write_text(f"{warm.pid}\n", encoding="ascii")
            Processor(
                _input=warm_client.Lines(warm.events, LOOK_S, self._look),
                event_handler=lambda event: not self._on_event(event),  # none of them is kept in a file
                quiet=True,
                private_data_dir=str(self._folder),
                settings={},
            ).run()
            code = warm.exit_code()
            pids.unlink()
        return code

    def _run_plainly(self, config: Any) -> int | None:
        config.command = [*environment.front(), *config.command]
        runner = Runner(config, event_handler=self._on_event, cancel_callback=self._look)
        runner.run()
        code: int | None = runner.rc
        return code

    def _configure(self) -> Any:
        self._write_inputs()
        config = RunnerConfig(
            private_data_dir=str(self._folder),
            project_dir=str(environment.CHECKOUT),
            playbook=str(self._job.playbook),
            inventory=[str(source) for source in self._inventory],
            limit=self._job.host,
            ident=self._folder.name,
            fact_cache_type="none",
            quiet=True,
            cmdline="--check" if self._job.check else None,
        )
        config.prepare()
        config.env = environment.of_run(config.env, self._folder)
        config.command = [environment.ansible_playbook(), *config.command[1:]]
        return config

    def _write_inputs(self) -> None:
        """The variables never go onto the command line, which every user of the machine can read.

        The settings go into a file too: ansible-runner forgets those of its arguments when it finds none.
        """
        folder = self._folder / "env"
        folder.mkdir(mode=0o700)
        contents = {"extravars": ansible_data.as_document(self._job.variables), "settings": json.dumps(SETTINGS)}
        for name, content in contents.items():
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(content)

    def _look(self) -> bool:
        """Called between events: end the run when asked to. Never hands the killing to ansible-runner."""
        self._steps.write_due()
        if self._outcome.stopped is None:
            reason = "timeout" if time.monotonic() > self._deadline else self._stop()
            if reason is not None:
                self._outcome.stopped = reason
                processes.end(self._pids(), PATIENCE_S)
        return False

    def _pids(self) -> list[int]:
        """The run's processes, as the front noted them."""
        file = self._folder / environment.PIDS
        return [int(pid) for pid in file.read_text(encoding="utf-8").split()] if file.exists() else []

    def _on_event(self, event: Mapping[str, Any]) -> bool:
        """Take what is needed from one event. Always True: with False ansible-runner loses its totals."""
        name, data = str(event.get("event")), event.get("event_data") or {}
        if name == "playbook_on_task_start":
            self._steps.begin(str(data.get("task") or data.get("name") or "unnamed"))
        elif name in ENDINGS or name == "runner_on_ok":
            self._end_step(name, data)
        elif name == "runner_retry":
            self._count_bytes(data.get("res") or {})
        elif name == "playbook_on_stats":
            host = self._job.host
            self._outcome.totals = {total: int((data.get(total) or {}).get(host, 0)) for total in TOTALS}
        return True

    def _end_step(self, name: str, data: Mapping[str, Any]) -> None:
        result = data.get("res") or {}
        state = ENDINGS.get(name) or ("changed" if result.get("changed") else "ok")
        self._steps.end(state)
        if str(data.get("task")).startswith(report.REPORTS):
            self._outcome.reports[str(data["task"])] = result
        if data.get("task") == report.REPORT_TASK:
            self._outcome.results = report.read(result)
        elif data.get("task") == report.HOST_TASK and name == "runner_on_ok":
            self._outcome.host_report = report.read_host(result)
        elif state == "failed" and not data.get("ignore_errors"):
            self._outcome.failed_step = self._steps.name
        self._outcome.unreachable = self._outcome.unreachable or state == "unreachable"

    def _count_bytes(self, result: Mapping[str, Any]) -> None:
        """A task that is polled (`until`) tells how far it is with each look."""
        done, total = result.get("bytes_done"), result.get("bytes_total")
        if isinstance(done, int):
            self._steps.count_bytes(done, total if isinstance(total, int) else None)
