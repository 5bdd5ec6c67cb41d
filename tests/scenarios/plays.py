"""Playbooks by hand on a scenario's hosts, and connections from outside."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg

from tests.support.stack import CHECKOUT


def playbook(name: str, *options: str | Path, timeout_s: float = 800) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("ansible-playbook")
    command = [program, CHECKOUT / "playbooks" / f"{name}.yml", *options]
    return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=timeout_s)


def changed(run: subprocess.CompletedProcess[str]) -> int:
    """How many tasks changed something on the one host of the run, which ended well."""
    assert run.returncode == 0, run.stdout + run.stderr
    [count] = re.findall(r"changed=(\d+)", run.stdout)
    return int(count)


def connect(host: str, name: str, password: str, authority: Path, **more: Any) -> psycopg.Connection[Any]:
    return psycopg.connect(
        host=host,
        port=6432,
        dbname=name,
        user=name,
        password=password,
        sslmode="verify-full",
        sslrootcert=authority,
        connect_timeout=10,
        autocommit=True,
        **more,
    )
