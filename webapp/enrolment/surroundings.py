"""Where an enrolment finds what it needs on this machine: the worker's key and OS user, the authority, the logs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from webapp.config import settings
from webapp.embedded import users
from webapp.embedded.environment import Stack
from webapp.enrolment.errors import EnrolmentError
from webapp.fleet import keys
from webapp.worker import environment


@dataclass(frozen=True)
class Surroundings:
    """One installation, seen from its control machine."""

    home: Path
    worker_key: Path
    agent_user: str | None

    @property
    def authority(self) -> Path | None:
        """The folder of this installation's own certificate authority, when it has one here."""
        folder = self.home / "tls"
        return folder if (folder / "ca.key").exists() and (folder / "ca.crt").exists() else None

    @property
    def certificates(self) -> Path:
        return self.home / "tls" / "hosts"

    def log_file(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def environment(self, scratch: Path) -> dict[str, str]:
        """What a playbook of the worker's is run with: nothing of the person's own ssh."""
        passed = environment.of_playbooks(os.environ)
        passed.pop("SSH_AUTH_SOCK", None)
        return passed | {"HOME": str(scratch), "ANSIBLE_HOME": str(scratch / "ansible")}


def of(stack: Stack) -> Surroundings:
    """Those of *stack*; the worker's key is made when it is missing, but for one that the settings name."""
    key_file = settings().worker_key
    if settings().ssh_key_file is None:
        ensure_worker_key(stack, key_file)
    elif not key_file.exists():
        raise EnrolmentError(f"The worker's key is not there: {key_file}.")
    return Surroundings(stack.home, key_file, key_owner(key_file))


def ensure_worker_key(stack: Stack, key_file: Path) -> None:
    """The key by which the worker enters hosts. Only the worker's OS user may read it."""
    existed = key_file.exists()
    keys.ensure_key(key_file, "dbhost-worker")
    if stack.as_root and not existed and users.exists(stack.agent_user):
        uid, gid = users.owner(stack, stack.agent_user)
        os.chown(key_file, uid, gid)
    key_file.chmod(0o600)


def key_owner(key_file: Path) -> str | None:
    """The OS user that the worker runs as, by whom its key belongs to; None when it is this one."""
    return None if key_file.stat().st_uid == os.geteuid() else key_file.owner()
