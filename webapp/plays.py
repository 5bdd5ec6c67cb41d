"""Run a playbook by plain ansible-playbook, saying each task as it begins; the whole of its output goes to a log."""

import os
import pwd
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from webapp.worker import environment

SHOWN_LINES = 25


@dataclass(frozen=True)
class Play:
    """What to run, on which hosts of which inventory, and as which OS user of this machine (None: as oneself)."""

    playbook: str
    inventory: Path
    hosts: Sequence[str]
    log_file: Path
    environment: Mapping[str, str]
    os_user: str | None = None
    options: tuple[str, ...] = ()


class PlayFailed(Exception):
    """The playbook ended badly: at which task, and the end of what it said."""

    def __init__(self, play: Play, task: str, lines: list[str]) -> None:
        end = "\n".join(lines[-SHOWN_LINES:])
        where = f" at the task “{task}”" if task else ""
        super().__init__(f"playbooks/{play.playbook}.yml failed{where}; its end ({play.log_file} has the rest):\n{end}")


def run(play: Play, on_task: Callable[[str], None]) -> list[str]:
    """Run to the end; the lines of its output. Raises PlayFailed."""
    lines: list[str] = []
    task = ""
    process = subprocess.Popen(
        command(play),
        cwd=environment.CHECKOUT,
        env=dict(play.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **switch(play.os_user),
    )
    for line in process.stdout or ():
        lines.append(line.rstrip())
        if line.startswith("TASK ["):
            task = line.split("[", 1)[1].rsplit("]", 1)[0]
            on_task(task)
    play.log_file.parent.mkdir(parents=True, exist_ok=True)
    play.log_file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if process.wait() != 0:
        raise PlayFailed(play, task, lines)
    return lines


def command(play: Play) -> list[str]:
    playbook = environment.PLAYBOOK.with_name(f"{play.playbook}.yml")
    where = ["--inventory", str(play.inventory), "--limit", ",".join(play.hosts)]
    return [environment.ansible_playbook(), str(playbook), *where, *play.options]


def switch(os_user: str | None) -> dict[str, Any]:
    """The keywords that make subprocess run as *os_user*, which root alone can."""
    if os_user is None or os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(os_user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
