"""The store of backups that an installation may have besides its hosts."""

from functools import lru_cache
from typing import TYPE_CHECKING

from webapp.config import settings

if TYPE_CHECKING:
    from webapp.gateways.s3 import ObjectStore

UPLOADS = "uploads/"


class ObjectStoreError(Exception):
    """The store refused or cannot be reached; a sentence without keys or addresses."""


class ObjectMissing(ObjectStoreError):
    """There is no such object (any more)."""


@lru_cache(maxsize=1)
def object_store() -> "ObjectStore | None":
    """The process's store; None where backups stay on their hosts. It may be used from several threads."""
    configured = settings()
    if not configured.s3_bucket:
        return None
    from webapp.gateways.s3 import ObjectStore  # 30 MB and a sixth of a second that few installations need

    return ObjectStore.of(configured)
