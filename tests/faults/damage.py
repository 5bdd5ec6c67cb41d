"""What breaks a stack at random: processes killed and stopped, files of PgBouncer's cut."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.stack import Stack

PATIENCE_S = 600
LONGEST_STOP_S = 15  # longer than a worker may be silent
FILES = ("databases.ini", "userlist.txt", "hba.conf")
# Then somebody runs `converge`, as after any damage that takes the control plane's own way away.
NOT_BACK_S = 20


@dataclass
class Damage:
    """Breaks one thing after the other, each once the API is back from the last."""

    stack: Stack
    chance: random.Random
    is_over: threading.Event
    done: list[str] = field(default_factory=list)

    def run(self) -> list[str]:
        while not self.is_over.wait(self.chance.uniform(0.2, 5)):
            self.done.append(self.chance.choice([self.kill, self.kill, self.stop, self.cut])())
            self.recover()
        return self.done

    def victim(self) -> tuple[int, str]:
        """A program of the supervisor's, or a child of one."""
        supervisor = int((self.stack.home / "supervisor/supervisord.pid").read_text(encoding="ascii"))
        program = self.chance.choice(children(supervisor) or [0])
        family = children(program)
        pid = self.chance.choice(family) if family and self.chance.random() < 0.3 else program
        return pid, words(pid) + (" (child)" if pid in family else "")

    def kill(self) -> str:
        pid, name = self.victim()
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return f"kill {name}"

    def stop(self) -> str:
        pid, name = self.victim()
        lasts_s = self.chance.uniform(1, LONGEST_STOP_S)
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self.is_over.wait(lasts_s)
                os.kill(pid, signal.SIGCONT)
        return f"stop {name} for {lasts_s:.0f} s"

    def cut(self) -> str:
        path = self.stack.home / "pgbouncer" / self.chance.choice(FILES)
        with suppress(FileNotFoundError):
            length = self.chance.randrange(path.stat().st_size + 1)
            os.truncate(path, length)
            return f"cut {path.name} to {length}"
        return f"no {path.name}"

    def recover(self) -> None:
        since = time.monotonic()
        while not self.is_over.is_set() and not is_ready(self.stack):
            if time.monotonic() - since > NOT_BACK_S:
                self.done.append("converge")
                self.stack.dbhost("converge", check=False)
                since = time.monotonic()
            time.sleep(0.3)


def is_ready(stack: Stack) -> bool:
    try:
        return httpx.get(f"{stack.url}/readyz", timeout=10).status_code == 200
    except httpx.TransportError:
        return False


def children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]
    except OSError:
        return []


def words(pid: int) -> str:
    """The last word of its command line: a program, a module, a file."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ").split()
    except OSError:
        return ""
    return line[-1] if line else ""


def until(what: str, look: Callable[[], bool]) -> None:
    """Wait for what comes with rest."""
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline, f"it is still not so: {what}"
        time.sleep(0.5)
