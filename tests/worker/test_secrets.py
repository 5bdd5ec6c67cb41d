"""Canary secrets: nowhere but in the private folder of the run while it lasts."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support.rows import make_database, make_operation, make_user
from tests.worker.conftest import PATIENCE_S, Workers, wait_until
from webapp.models import Host
from webapp.services import doorbell
from webapp.worker.environment import passes
from webapp.worker.workplace import folders

CANARY = "canary-5e1f0c"
VERIFIER = f"SCRAM-SHA-256$4096:{CANARY}$c3RvcmVk:c2VydmVy"
SECRETS = {
    "DBHOST_SECRET_KEY": f"{CANARY}-key",
    "DBHOST_ENCRYPTION_KEYS": f"{CANARY}-encryption",
    "DBHOST_ADMIN_PASSWORD": f"{CANARY}-admin",
    "STRIPE_API_KEY": f"{CANARY}-stripe",
    "AWS_SECRET_ACCESS_KEY": f"{CANARY}-aws",
    "SMTP_URL": f"smtp://{CANARY}@example.com",
}
QUEUE = "SELECT string_agg(args::text, ' ') FROM procrastinate_jobs"
TABLES = "SELECT string_agg(t::text, ' ') FROM {} t"


def shown(pid: Path, *, environment: bool) -> str:
    """What a process shows to its user, and to everybody."""
    try:
        found = (pid / "cmdline").read_bytes()
        return (found + (pid / "environ").read_bytes() if environment else found).decode(errors="replace")
    except OSError:
        return ""


def leaks(worker: int) -> list[str]:
    """Command lines with a canary, and environments of other processes than tests and worker."""
    pids = [pid for pid in Path("/proc").iterdir() if pid.name.isdigit()]
    own = {str(os.getpid()), str(worker)}
    return [seen for pid in pids if CANARY in (seen := shown(pid, environment=pid.name not in own))]


@contextmanager
def watched(worker: int) -> Iterator[list[str]]:
    """What the process list leaks while the block lasts."""
    seen: list[str] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.02):
            seen.extend(leaks(worker))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


def files_with_canary(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()]


def test_no_secret_leaves_the_private_folder(
    workers: Workers, host: Host, session: Session, states: Callable[[], dict[str, int]]
) -> None:
    owner = make_user(session)
    for number in range(3):
        database = make_database(session, host, owner, verifier=VERIFIER, password_encrypted=CANARY.encode())
        make_operation(session, database)
        if number == 1:
            errors = f'{{"{database.name}": {{"code": "no", "message": "no", "retryable": false}}}}'
            workers.flag("errors.json").write_text(errors)
        doorbell.ring(session, host.id)
    session.commit()
    assert CANARY not in session.scalar(text(QUEUE))
    workers.flag("wait").touch()
    process = workers.start(cold=True, **SECRETS)
    with watched(process.pid) as seen:
        wait_until(workers.flag("entered").exists)
        (folder,) = folders(workers.home)
        (variables,) = files_with_canary(folder)
        assert variables.name == "extravars"
        assert [path.stat().st_mode & 0o077 for path in (variables, *variables.parents[:4])] == [0] * 5
        workers.flag("wait").unlink()
        wait_until(lambda: states() == {"succeeded": 2, "failed": 1})
        process.terminate()
        process.wait(PATIENCE_S)
    assert seen == []
    assert CANARY not in workers.log.read_text()
    assert files_with_canary(workers.home) == []
    assert list(folders(workers.home)) == []
    for table in ("operations", "runs", "run_steps", "audit_events", "procrastinate_jobs"):
        assert CANARY not in (session.scalar(text(TABLES.format(table))) or "")


def test_playbooks_get_their_variables_and_no_others() -> None:
    wanted = [
        "PATH",
        "DBHOST_HOME",
        "DBHOST_SOCKET_DIR",
        "DBHOST_AGENT_USER",
        "ANSIBLE_HOME",
        "LC_ALL",
        "SSH_AUTH_SOCK",
    ]
    refused = [*SECRETS, "DATABASE_URL", "DATABASE_URL_FILE", "DBHOST_SECRET_KEY_FILE", "PGPASSWORD", "EDITOR"]
    assert [name for name in wanted if not passes(name)] == []
    assert [name for name in refused if passes(name)] == []
