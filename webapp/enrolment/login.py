"""The operator's own way into a new machine: SSH and sudo, by whatever their ssh would use."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from webapp.enrolment.errors import EnrolmentError
from webapp.services.inventory import PINNED

TIMEOUT_S = 60
QUESTION = 'sudo -n true && command -v python3 >/dev/null && echo "came from ${SSH_CONNECTION%% *}"'
MARK = "came from "


@dataclass(frozen=True)
class Operator:
    """Who sets the machine up: a user with sudo, and the key file when it is not one of ssh's own choice."""

    user: str
    key_file: Path | None = None


def prove(operator: Operator, address: str, port: int, known_hosts_file: Path) -> str:
    """Log in and become root; the address that the host sees this machine come from. Raises EnrolmentError."""
    if operator.user == "root":
        raise EnrolmentError("host.yml closes SSH to root: use the login of a person with sudo (--user).")
    options = [f"UserKnownHostsFile={known_hosts_file}", *PINNED]
    identity = [] if operator.key_file is None else ["-i", str(operator.key_file), "-o", "IdentitiesOnly=yes"]
    words = [part for option in options for part in ("-o", option)]
    command = ["ssh", *words, *identity, "-p", str(port), f"{operator.user}@{address}", "--", QUESTION]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        raise EnrolmentError(f"{address} did not answer within {TIMEOUT_S} s.") from None
    told = [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode != 0 or not told:
        why = (done.stderr or done.stdout).strip() or "sudo without a password and python3 are needed."
        raise EnrolmentError(f"{operator.user}@{address} cannot log in and become root: {why}")
    return told[-1]
