"""Playbook runs started as ansible-runner starts them, with and without the fork server."""

import json
import subprocess
import uuid
from pathlib import Path
from typing import Any

from tests.support.rows import VERIFIER
from tests.worker.conftest import PRETEND
from webapp.worker import environment
from webapp.worker.runner import fork_server_environment


class Fronts:
    """Starts fronts the way ansible-runner does, each with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory, self.playbook = PRETEND / "hosts.yml", PRETEND / "databases.yml"
        self.options: list[str] = []
        self.pretend = folder / "pretend"
        self.pretend.mkdir()
        wanted = {"name": "shop", "generation": 1, "state": "present", "verifier": VERIFIER}
        (folder / "variables").write_text(json.dumps({"tenant_databases": [wanted]}))

    def start(self, socket: str, **changed: str) -> tuple[subprocess.Popen[bytes], Path]:
        """One front and its folder."""
        run = self.folder / uuid.uuid4().hex
        (run / "job_events").mkdir(parents=True)
        own = {"AWX_ISOLATED_DATA_DIR": str(run), "DBHOST_PRETEND": str(self.pretend)}
        variables = environment.of_run({**fork_server_environment(), **own}, run, socket) | changed
        playbook = [*self.options, "-e", f"@{self.folder / 'variables'}", str(self.playbook)]
        command = [*environment.command(), "-i", str(self.inventory), "--limit", "local", *playbook]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=variables, cwd=environment.CHECKOUT, stdout=pipe, stderr=pipe), run

    def run(self, socket: str, **changed: str) -> tuple[int, Path, str]:
        """One front to its end: exit code, folder, what it wrote to stderr."""
        process, run = self.start(socket, **changed)
        _, errors = process.communicate(timeout=60)
        return process.returncode, run, errors.decode()


def pids(run: Path) -> list[int]:
    file = run / environment.PIDS
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def events(run: Path) -> list[tuple[Any, ...]]:
    """What a run told, without what differs each time."""
    found = sorted(
        (json.loads(file.read_text()) for file in (run / "job_events").iterdir()), key=lambda e: e["created"]
    )
    keys = ("task", "host", "res", "ok", "changed", "failures")
    return [(event["event"], *(str(event["event_data"].get(key)) for key in keys)) for event in found]
