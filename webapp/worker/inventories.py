"""The inventories of a run: the one of the settings, and the hosts that the control database knows as of now."""

from pathlib import Path

from sqlalchemy.orm import Session, sessionmaker

from webapp import inventory_files
from webapp.config import Settings
from webapp.services import hosts
from webapp.worker import environment
from webapp.worker.workplace import Workplace, make_private

FOLDER = "inventory"
# A socket's path holds Ansible's hash of the host and OpenSSH's own ending besides, 107 bytes in all.
LONGEST_FOLDER = 75


def current(settings: Settings, sessions: sessionmaker[Session], workplace: Workplace) -> list[Path]:
    """What Ansible reads, in order. A host that was added or given another key is there with the next run."""
    configured = environment.inventory(settings.inventory)
    with sessions() as session:
        known = hosts.reached_by_ssh(session)
    if not known:
        return [configured]
    sockets = workplace.folder / "ssh"
    is_short = len(str(sockets).encode()) <= LONGEST_FOLDER and make_private(sockets)
    folder = workplace.folder / FOLDER
    made = inventory_files.for_agent(folder, known, settings.worker_key, sockets if is_short else None)
    return [configured, made]
