"""Run the playbooks of the embedded host with plain ansible-playbook."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from webapp import plays
from webapp.embedded.environment import CHECKOUT, Stack, StackError, base_environment, playbook_environment
from webapp.embedded.progress import Progress
from webapp.plays import Play, PlayFailed

LOCAL_INVENTORY = CHECKOUT / "inventory" / "local"


def run(stack: Stack, progress: Progress, playbook: str, user: str) -> None:
    """Run one playbook on the embedded host to its end as OS user *user*."""
    run_on(stack, progress, playbook, LOCAL_INVENTORY, ["local"], user)


def run_on(
    stack: Stack, progress: Progress, playbook: str, inventory: Path, hosts: Sequence[str], user: str = "root"
) -> None:
    """Run one playbook to its end; raises StackError with the end of its output when it fails."""
    around = {**environment(stack, user), "DBHOST_RUN_RECORDED": "1"}  # what `up` does is no change by hand
    log = stack.home / "logs" / f"{playbook if inventory == LOCAL_INVENTORY else 'fleet'}.log"
    try:
        plays.run(Play(playbook, inventory, hosts, log, around, user), progress.detail)
    except PlayFailed as failed:
        raise StackError(str(failed)) from None


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
