"""Playbook runs started as the worker starts them: by the fork server, or by the plain command."""

import json
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.rows import VERIFIER
from tests.worker.conftest import PRETEND
from webapp.worker import environment, warm_client
from webapp.worker.runner import fork_server_environment
from webapp.worker.warm import Warm

PATIENCE_S = 60.0
EACH_TIME_ANOTHER = {"uuid", "pid", "created", "counter", "start", "end", "duration", "parent_uuid"}


@dataclass
class Run:
    """How a run went."""

    code: int
    events: list[dict[str, Any]]
    was_warm: bool
    folder: Path
    errors: str = ""

    @property
    def told(self) -> list[Any]:
        """The events without what differs each time."""
        return [without(event, EACH_TIME_ANOTHER) for event in self.events]


def without(value: Any, names: set[str]) -> Any:
    """*value* without these fields, and those that end in `_uuid`, however deep."""
    if isinstance(value, dict):
        kept = {name: without(inner, names) for name, inner in value.items()}
        return {name: inner for name, inner in kept.items() if name not in names and not name.endswith("_uuid")}
    return [without(inner, names) for inner in value] if isinstance(value, list) else value


@dataclass
class Fronts:
    """Starts runs with the same command line and environment either way, each with a folder of its own."""

    folder: Path
    inventory: Path = PRETEND / "hosts.yml"
    playbook: Path = PRETEND / "databases.yml"
    host: str = "local"
    options: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.pretend = self.folder / "pretend"
        self.pretend.mkdir()
        wanted = {"name": "shop", "generation": 1, "state": "present", "verifier": VERIFIER}
        self.variables({"tenant_databases": [wanted]})

    def variables(self, values: dict[str, Any]) -> None:
        (self.folder / "variables").write_text(json.dumps(values))

    def prepared(self, **changed: str) -> tuple[list[str], dict[str, str], Path]:
        """A command, its environment and its folder."""
        run = self.folder / uuid.uuid4().hex
        (run / "job_events").mkdir(parents=True)
        own = {"AWX_ISOLATED_DATA_DIR": str(run), "DBHOST_PRETEND": str(self.pretend)}
        variables = environment.of_run({**fork_server_environment(), **own}, run) | changed
        named = ["-i", str(self.inventory), "--limit", self.host, "-e", f"@{self.folder / 'variables'}"]
        return [environment.ansible_playbook(), *named, *self.options, str(self.playbook)], variables, run

    def plain(self, **changed: str) -> Run:
        """By the plain command, as an operator would type it."""
        command, variables, run = self.prepared(**changed)
        ended = subprocess.run(
            command, env=variables, cwd=environment.CHECKOUT, capture_output=True, text=True, timeout=60, check=False
        )
        files = [json.loads(file.read_text()) for file in (run / "job_events").iterdir()]
        return Run(ended.returncode, sorted(files, key=lambda event: event["created"]), False, run, ended.stderr)

    def start(self, socket: str, **changed: str) -> tuple[warm_client.WarmRun | None, Path]:
        """Ask the fork server; None when it declines."""
        command, variables, run = self.prepared(**changed)
        return warm_client.ask(socket, command, variables, str(environment.CHECKOUT)), run

    def warm(self, server: Warm | str, **changed: str) -> Run | None:
        """By the fork server to its end; None when it declines."""
        socket = server if isinstance(server, str) else server.socket(PATIENCE_S)
        assert socket, "the fork server is not ready"
        started, run = self.start(socket, **changed)
        if started is None:
            return None
        with started:
            events = stream_of(started)
            return Run(started.exit_code(), events, True, run)


def stream_of(run: warm_client.WarmRun) -> list[dict[str, Any]]:
    """All events of a run, once it has ended."""
    lines = warm_client.Lines(run.events, PATIENCE_S, lambda: None)
    read = [json.loads(line) for line in iter(lines.readline, b"")]
    return [{**without(line, {"stdout", "start_line", "end_line"})} for line in read if "event" in line]
