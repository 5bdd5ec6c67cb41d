"""The way into a host: SSH with a pinned host key."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from webapp.fleet.commands import run
from webapp.fleet.errors import FleetError

ADMIN_USER = "dbhost-admin"
SSH_PORT = 22
CONNECT_TIMEOUT_S = 2
POLL_S = 0.2
# systemd is still starting when it does not say one of these.
STARTED = frozenset({"running", "degraded"})


@dataclass(frozen=True)
class FleetHost:
    """What somebody outside needs to reach a host."""

    name: str
    address: str
    ssh_port: int
    ssh_key_file: Path
    known_hosts_file: Path


def ssh_options(known_hosts_file: Path) -> list[str]:
    """Only the pinned key counts, and nothing of the caller's own configuration or agent."""
    return [
        "-o",
        f"UserKnownHostsFile={known_hosts_file}",
        "-o",
        "GlobalKnownHostsFile=/dev/null",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "HostKeyAlgorithms=ssh-ed25519",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "IdentityAgent=none",
        "-o",
        "BatchMode=yes",
        # A host that lost its power says nothing: ask, or wait for ever.
        "-o",
        "ServerAliveInterval=3",
        "-o",
        "ServerAliveCountMax=3",
    ]


def ssh_command(host: FleetHost, *words: str) -> list[str]:
    """The command that runs *words* on the host as the person who sets it up."""
    options = ["-F", "none", *ssh_options(host.known_hosts_file), "-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}"]
    login = ["-i", str(host.ssh_key_file), "-p", str(host.ssh_port), f"{ADMIN_USER}@{host.address}"]
    return ["ssh", *options, *login, "--", *words]


def wait_started(host: FleetHost, timeout_s: float) -> str:
    """Wait until the host lets its administrator in and systemd has started; `running` or `degraded`."""
    deadline = time.monotonic() + timeout_s
    # is-system-running exits with 1 for `degraded`: the word is the answer, the exit code of ssh the question.
    question = ssh_command(host, "systemctl is-system-running --wait || true")
    while True:
        try:
            state = run(*question, timeout_s=timeout_s).strip()
            error = f"systemd says {state}"
        except FleetError as failed:
            state, error = "", failed.message
        if state in STARTED:
            return state
        if time.monotonic() > deadline:
            raise FleetError(f"{host.name} ({host.address}) did not start within {timeout_s:.0f} s: {error}")
        time.sleep(POLL_S)
