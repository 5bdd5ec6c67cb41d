"""The control plane's spool: uploads on their way to a host, and copies of backups on their way to a person.

Web process and worker share it. Nothing in it is the only copy of anything, so whatever is old is swept away.
"""

import time
import uuid
from pathlib import Path

from webapp.config import settings

UPLOADS_KEPT_S = 24 * 3600.0
COPIES_KEPT_S = 3600.0
PART = ".part"


def uploads() -> Path:
    """Where the web process writes what people send."""
    return _folder() / "uploads"


def copies() -> Path:
    """Where the worker puts copies of backups from hosts' stores."""
    return _folder() / "copies"


def upload(upload_id: uuid.UUID | str) -> Path:
    """The file of one upload."""
    return uploads() / str(uuid.UUID(str(upload_id)))


def copy(backup_id: uuid.UUID) -> Path:
    """The copy of one backup; whole when it is there."""
    return copies() / f"{backup_id}.sql.gz"


def ensure() -> None:
    """Make the folders where nobody has (`up` makes them with the owners that the embedded stack needs)."""
    for folder in (uploads(), copies()):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def sweep() -> int:
    """Remove what nobody will come back for; how many files that were."""
    old = [*_older(uploads(), UPLOADS_KEPT_S), *_older(copies(), COPIES_KEPT_S)]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def _older(folder: Path, kept_s: float) -> list[Path]:
    if not folder.is_dir():
        return []
    until = time.time() - kept_s
    return [path for path in folder.iterdir() if path.lstat().st_mtime < until]


def _folder() -> Path:
    return (settings().spool_dir or settings().home / "spool").absolute()
