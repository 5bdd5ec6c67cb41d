"""Run the playbooks of the embedded host with plain ansible-playbook."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from webapp.embedded import users
from webapp.embedded.environment import CHECKOUT, Stack, StackError, base_environment, playbook_environment
from webapp.embedded.progress import Progress

SHOWN_LINES = 25


def run(stack: Stack, progress: Progress, playbook: str, user: str) -> None:
    """Run one playbook to its end as OS user *user*; raises StackError with the end of its output when it fails."""
    lines: list[str] = []
    process = subprocess.Popen(
        command(playbook),
        env=environment(stack, user),
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **users.switch(user),
    )
    for line in process.stdout or ():
        lines.append(line.rstrip())
        if line.startswith("TASK ["):
            progress.detail(line.split("[", 1)[1].rsplit("]", 1)[0])
    log = stack.home / "logs" / f"{playbook}.log"
    log.write_text("\n".join(lines) + "\n")
    if process.wait() != 0:
        end = "\n".join(lines[-SHOWN_LINES:])
        raise StackError(f"playbooks/{playbook}.yml failed; its end ({log} has the rest):\n{end}")


def command(playbook: str) -> list[str | Path]:
    executable = Path(sys.executable).with_name("ansible-playbook")
    return [
        executable,
        CHECKOUT / "playbooks" / f"{playbook}.yml",
        "--inventory",
        CHECKOUT / "inventory" / "local",
        "--limit",
        "local",
    ]


def environment(stack: Stack, user: str) -> Mapping[str, str]:
    scratch = stack.home / "runs" if user == stack.agent_user else stack.home / "supervisor"
    return {
        **base_environment(stack.home),
        **playbook_environment(stack),
        "USER": user,
        "ANSIBLE_HOME": str(scratch / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
    }
