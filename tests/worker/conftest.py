"""A worker as a process of its own, over a playbook that only pretends."""

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session, sessionmaker

from tests.support.rows import make_host
from tests.worker.forked import Forked
from webapp.config import Settings
from webapp.config import settings as configured_settings
from webapp.models import Host, Operation
from webapp.services.vault import vault
from webapp.worker.hosts import Server, Shutdown
from webapp.worker.workplace import Workplace

PRETEND = Path(__file__).parent / "pretend"
CHECKOUT = Path(__file__).parents[2]
type Worker = subprocess.Popen[bytes] | Forked
PATIENCE_S = 120  # of tests on a busy machine: what will not happen is told late, what is slow is no failure


def wait_until(predicate: Callable[[], Any], timeout_s: float = PATIENCE_S, message: str = "it did not happen") -> None:
    """Return as soon as the predicate holds; fail when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < deadline, message
        time.sleep(0.02)


class Workers:
    """Starts workers on one control database and ends them all."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.home = folder / "home"
        self.pretend = folder / "pretend"
        self.log = folder / "worker.log"
        self.processes: list[Worker] = []
        # Not below *folder*, whose path is too long for the sockets that Ansible makes in it.
        self.temporary = tempfile.TemporaryDirectory(prefix="dbhost-worker-", ignore_cleanup_errors=True)
        Path(self.temporary.name).chmod(0o711)  # PgBouncer proves files in it as an OS user of its own
        self.home.mkdir()
        self.pretend.mkdir()

    def start(
        self,
        *,
        playbook: Path = PRETEND / "databases.yml",
        program: str = "tests.worker.program",
        cold: bool = False,
        **environment: str,
    ) -> Worker:
        """One worker; `environment` overrides settings. *cold*: started from nothing, as a supervisor would."""
        command = [program, str(playbook)]
        variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("DBHOST_", "ANSIBLE_"))},
            "DATABASE_URL": self.url,
            "DBHOST_HOME": str(self.home),
            "DBHOST_INVENTORY": str(PRETEND / "hosts.yml"),
            "DBHOST_PRETEND": str(self.pretend),
            "TMPDIR": self.temporary.name,  # a killed run leaves its temporary files
            "DBHOST_STALLED_AFTER_S": "3",
            "DBHOST_SAMPLE_EVERY_S": "0",
            "DBHOST_CHECK_EVERY_S": "0",
            "ANSIBLE_HOME": str(self.home / "ansible"),
            **environment,
        }
        starting = started_cold if cold else Forked
        process = starting(command, CHECKOUT, variables, self.log)
        self.processes.append(process)
        return process

    def flag(self, name: str) -> Path:
        """A file that steers the pretending module."""
        return self.pretend / name

    def applied(self) -> list[dict[str, Any]]:
        """What the pretended host has applied, in order."""
        file = self.flag("applied")
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def runs(self) -> list[int]:
        """The batch sizes of the module's invocations."""
        file = self.flag("runs")
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    def end(self) -> None:
        """Let what waits go on, and stop all workers the way a supervisor does."""
        for name in ("wait", "wait-after", "long-wait"):
            self.flag(name).unlink(missing_ok=True)
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(PATIENCE_S)
        self.temporary.cleanup()


def started_cold(command: list[str], folder: Path, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as written:
        return subprocess.Popen(
            [sys.executable, "-m", *command], cwd=folder, env=environment, stdout=written, stderr=written
        )


@pytest.fixture
def workers(control_url: str, tmp_path: Path) -> Iterator[Workers]:
    """Workers on this test's control database; their log is shown when the test fails."""
    running = Workers(control_url, tmp_path)
    yield running
    running.end()
    print(running.log.read_text() if running.log.exists() else "no worker ran")


@pytest.fixture
def host(session: Session) -> Host:
    """The host that the pretended inventory calls `local`."""
    made = make_host(session)
    session.commit()
    return made


@pytest.fixture
def states(control_sessions: sessionmaker[Session]) -> Callable[[], dict[str, int]]:
    """How many operations are in which state, now."""

    def count() -> dict[str, int]:
        with control_sessions() as session:
            rows = session.execute(select(Operation.state, func.count()).group_by(Operation.state))
            return {row.state: row.count for row in rows}

    return count


@pytest.fixture
def out_of_reach(control_url: str, control_sessions: sessionmaker[Session], tmp_path: Path) -> Iterator[Server]:
    """What a worker has in this process, with an inventory whose host nobody can reach."""
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("database_hosts: {hosts: {local: {ansible_host: 127.0.0.1, ansible_port: 1}}}\n")
    settings = Settings(database_url=control_url, inventory=str(inventory), home=tmp_path)
    place = Workplace(tmp_path)
    yield Server(settings, control_sessions, place, Shutdown(), "test")
    place.close()


@contextmanager
def services_of(home: Path, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Iterator[None]:
    """Have the services of this process use *home*, with a key for passwords."""
    key = base64.urlsafe_b64encode(os.urandom(32)).decode()
    for name, value in {"DBHOST_HOME": str(home), "DBHOST_ENCRYPTION_KEYS": key, **environment}.items():
        monkeypatch.setenv(name, value)
    for cached in (configured_settings, vault):
        cached.cache_clear()
    yield
    for cached in (configured_settings, vault):
        cached.cache_clear()
