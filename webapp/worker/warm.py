"""Keep a fork server running beside the worker; until there is one, runs start the plain command."""

import os
import select
import subprocess
import sys
import threading
import time
from pathlib import Path

import structlog

from webapp.worker import environment

PATIENCE_S = 1.0  # of a run for a server that is about to be ready: about what the plain command costs more
READY_TIMEOUT_S = 60.0  # it takes two seconds on an idle machine
ENDING_TIMEOUT_S = 40.0
LONGEST_PATH = 100  # of a unix socket: 107 bytes, with some room
PROGRAM = "webapp.worker.fork_server"

log = structlog.get_logger(__name__)


class Warm:
    """Starts the fork server when there is none, and says where it listens once it does."""

    def __init__(self, folder: Path, variables: dict[str, str], inventory: Path) -> None:
        self._folder = folder
        self._variables = variables
        self._inventory = inventory
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._started_at = 0.0
        self._number = 0

    def start(self) -> None:
        """Have a server begin to make itself ready, without waiting for it."""
        with self._lock:
            self._ensure()

    def socket(self, patience_s: float | None = None) -> str:
        """The socket of a server that is ready, waiting PATIENCE_S or so for one; otherwise an empty string."""
        with self._lock:
            self._ensure()
            return self._path() if self._wait(PATIENCE_S if patience_s is None else patience_s) else ""

    def close(self) -> None:
        """End the server: it leaves when its standard input does."""
        with self._lock:
            self._end()

    def _path(self) -> str:
        return str(self._folder / f"warm-{self._number}")

    def _ensure(self) -> None:
        """Start a server unless one is running, or may still become ready."""
        if self._process is not None and self._process.poll() is not None:
            log.warning("fork_server_ended", code=self._process.returncode)
            self._end()
        if self._process is not None and not self._is_ready and time.monotonic() > self._started_at + READY_TIMEOUT_S:
            log.warning("fork_server_not_ready")
            self._end()
        if self._process is None:
            self._start()

    def _start(self) -> None:
        self._number += 1
        self._is_ready, self._started_at = False, time.monotonic()
        if len(os.fsencode(self._path())) > LONGEST_PATH:
            return
        command = [sys.executable, "-m", PROGRAM, self._path(), str(self._folder / "modules"), str(self._inventory)]
        pipe = subprocess.PIPE
        folder, variables = environment.CHECKOUT, self._variables
        self._process = subprocess.Popen(command, cwd=folder, env=variables, stdin=pipe, stdout=pipe)

    def _wait(self, patience_s: float) -> bool:
        """Whether the server is ready, at the latest after *patience_s*."""
        if self._is_ready or self._process is None or self._process.stdout is None:
            return self._is_ready
        readable, _, _ = select.select([self._process.stdout], [], [], patience_s)
        self._is_ready = bool(readable) and self._process.stdout.readline() == b"ready\n"
        return self._is_ready

    def _end(self) -> None:
        process, self._process, self._is_ready = self._process, None, False
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(ENDING_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
