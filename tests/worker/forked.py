"""Workers forked from a process that has imported one: to start one anew costs more than a second of the processor."""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TEMPLATE = multiprocessing.get_context("forkserver")
TEMPLATE.set_forkserver_preload(["tests.worker.program"])


def become(command: list[str], folder: Path, environment: Mapping[str, str], log: Path) -> None:
    """In the new process: run the program as `python -m` does, with this environment, its words in *log*."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    with log.open("ab") as written:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(written.fileno(), stream.fileno())
    sys.argv = command
    runpy.run_module(command[0], run_name="__main__", alter_sys=True)


class Forked:
    """One such process, with what tests use of `subprocess.Popen`."""

    def __init__(self, command: list[str], folder: Path, environment: Mapping[str, str], log: Path) -> None:
        self._process = TEMPLATE.Process(target=become, args=(command, folder, environment, log))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)
