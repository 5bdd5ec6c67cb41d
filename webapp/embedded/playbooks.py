"""Run the playbooks of the embedded host with plain ansible-playbook."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from webapp.embedded import users
from webapp.embedded.environment import CHECKOUT, Stack, StackError, base_environment, playbook_environment
from webapp.embedded.progress import Progress

SHOWN_LINES = 25
LOCAL_INVENTORY = CHECKOUT / "inventory" / "local"


def run(stack: Stack, progress: Progress, playbook: str, user: str) -> None:
    """Run one playbook on the embedded host to its end as OS user *user*."""
    run_on(stack, progress, playbook, LOCAL_INVENTORY, ["local"], user)


def run_on(
    stack: Stack, progress: Progress, playbook: str, inventory: Path, hosts: Sequence[str], user: str = "root"
) -> None:
    """Run one playbook to its end; raises StackError with the end of its output when it fails."""
    lines: list[str] = []
    process = subprocess.Popen(
        command(playbook, inventory, hosts),
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
    log = stack.home / "logs" / f"{playbook if inventory == LOCAL_INVENTORY else 'fleet'}.log"
    log.write_text("\n".join(lines) + "\n")
    if process.wait() != 0:
        end = "\n".join(lines[-SHOWN_LINES:])
        raise StackError(f"playbooks/{playbook}.yml failed; its end ({log} has the rest):\n{end}")


def command(playbook: str, inventory: Path = LOCAL_INVENTORY, hosts: Sequence[str] = ("local",)) -> list[str | Path]:
    executable = Path(sys.executable).with_name("ansible-playbook")
    return [
        executable,
        CHECKOUT / "playbooks" / f"{playbook}.yml",
        "--inventory",
        inventory,
        "--limit",
        ",".join(hosts),
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
