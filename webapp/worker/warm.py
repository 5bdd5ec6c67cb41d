"""Keep a fork server running beside the worker; without one, runs start the plain command."""

import os
import select
import subprocess
import sys
import threading
from pathlib import Path

import structlog

from webapp.worker import environment

READY_TIMEOUT_S = 20.0  # a second on an idle machine; without the server each run costs that second
LONGEST_PATH = 100  # of a unix socket: 107 bytes, with some room
PROGRAM = "webapp.worker.fork_server"

log = structlog.get_logger(__name__)


class Warm:
    """Starts the fork server when there is none, and says where it listens."""

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self._folder = folder
        self._variables = variables
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._started = 0

    def socket(self) -> str:
        """The socket of a running server; an empty string when it could not be started."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            return self._path() if self._process is not None else ""

    def close(self) -> None:
        """End the server: it leaves when its standard input does."""
        with self._lock:
            if self._process is not None:
                self._end(self._process)
                self._process = None

    def _path(self) -> str:
        return str(self._folder / f"warm-{self._started}")

    def _start(self) -> None:
        if self._process is not None:
            log.warning("fork_server_ended", code=self._process.returncode)
            self._end(self._process)
            self._process = None
        self._started += 1
        if len(os.fsencode(self._path())) > LONGEST_PATH:
            return
        command = [sys.executable, "-m", PROGRAM, self._path(), str(self._folder / "modules")]
        pipe = subprocess.PIPE
        folder, variables = environment.CHECKOUT, self._variables
        process = subprocess.Popen(command, cwd=folder, env=variables, stdin=pipe, stdout=pipe)
        if self._is_ready(process):
            self._process = process
        else:
            log.warning("fork_server_not_ready", code=process.poll())
            self._end(process)

    def _is_ready(self, process: subprocess.Popen[bytes]) -> bool:
        if process.stdout is None:
            return False
        readable, _, _ = select.select([process.stdout], [], [], READY_TIMEOUT_S)
        return bool(readable) and process.stdout.readline() == b"ready\n"

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(READY_TIMEOUT_S * 2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
