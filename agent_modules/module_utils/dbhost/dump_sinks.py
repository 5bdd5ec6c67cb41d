# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a dump goes while it is made: a file of the host's store, or parts that are uploaded to signed addresses."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import ssl
import threading
import time
import urllib.parse
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import dump_files, files
from .errors import TenantError, of_files

TRIES = 5
_TIMEOUT_S = 120


class FileSink:
    """A file that has no name of a backup until `finish`."""

    def __init__(self, path: Path) -> None:
        self.size_bytes, self._digest = 0, hashlib.sha256()
        self._path, self._partial = path, path.with_name(f".{path.name}{dump_files.PARTIAL}")
        self._file = self._partial.open("wb")
        self._partial.chmod(files.MODE)
        files.give_to_owner_of(path.parent, self._partial)

    def write(self, data: bytes) -> None:
        """Add *data* to the file. Raises TenantError when the disk is full."""
        try:
            self._file.write(data)
        except OSError as error:
            raise of_files(error, "Write the dump") from None
        self._digest.update(data)
        self.size_bytes += len(data)

    def finish(self) -> dict[str, Any]:
        """Sync it; `publish` then gives it its name."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise of_files(error, "Write the dump") from None
        return {"size_bytes": self.size_bytes, "sha256": self._digest.hexdigest(), "parts": []}

    def publish(self) -> None:
        """Let it be there."""
        dump_files.publish(self._partial, self._path)

    def abort(self) -> None:
        """Leave nothing of it."""
        with contextlib.suppress(OSError):  # closing writes what is buffered, and the disk may be full
            self._file.close()
        self._partial.unlink(missing_ok=True)


class PartsSink:
    """Parts of an upload, each sent while the next one is made, and sent again when that fails."""

    def __init__(self, part_size: int, urls: list[str]) -> None:
        self.size_bytes, self._digest = 0, hashlib.sha256()
        self._part_size, self._urls = part_size, urls
        self._buffer, self._parts = bytearray(), list[dict[str, Any]]()
        self._pool, self._stopped = ThreadPoolExecutor(1), threading.Event()
        self._sending: Future[dict[str, Any]] | None = None

    def write(self, data: bytes) -> None:
        """Add *data*. Raises TenantError when a part cannot be sent, or there are more parts than addresses."""
        self._digest.update(data)
        self.size_bytes += len(data)
        self._buffer += data
        while len(self._buffer) >= self._part_size:
            part = bytes(self._buffer[: self._part_size])
            del self._buffer[: self._part_size]
            self._send(part)

    def finish(self) -> dict[str, Any]:
        """Send the rest. The parts become a file when the control plane says so."""
        if self._buffer or not self.size_bytes:
            self._send(bytes(self._buffer))
        self._join()
        self._pool.shutdown()
        return {"size_bytes": self.size_bytes, "sha256": self._digest.hexdigest(), "parts": self._parts}

    def publish(self) -> None:
        """Nothing more: whoever signed the addresses completes the upload."""

    def abort(self) -> None:
        """Send no more."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)

    def _send(self, part: bytes) -> None:
        self._join()
        number = len(self._parts) + 1
        if number > len(self._urls):
            raise TenantError("too_large", "The dump is larger than the addresses for its parts allow.")
        self._sending = self._pool.submit(self._put, number, self._urls[number - 1], part)

    def _join(self) -> None:
        if self._sending:
            self._parts.append(self._sending.result())
            self._sending = None

    def _put(self, number: int, url: str, part: bytes) -> dict[str, Any]:
        for attempt in range(TRIES):
            status, etag = put(url, part)
            if status == http.client.OK and etag:
                return {"number": number, "etag": etag}
            retryable = status == 0 or status >= 500 or status in (408, 429)
            if not retryable or attempt == TRIES - 1 or self._stopped.wait(2.0**attempt):
                break
        what = f"answered {status}" if status else "could not be reached"
        raise TenantError("not_stored", f"The object store {what} for part {number}.", True, "Upload the dump")


def connection(url: str) -> tuple[http.client.HTTPConnection, str]:
    """A connection to *url*'s host, certificates verified, and what to ask for there."""
    parts = urllib.parse.urlsplit(url)
    target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_S, context=context), target
    if parts.scheme != "http":
        raise TenantError("invalid_url", "An address of the object store begins with https: or http:.")
    return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S), target


def put(url: str, part: bytes) -> tuple[int, str]:
    """The status and the ETag; status 0 when there was no answer. Errors, which quote the address, are swallowed."""
    opened, target = connection(url)
    try:
        opened.request("PUT", target, body=part, headers={"Content-Length": str(len(part))})
        answer = opened.getresponse()
        answer.read()
        return answer.status, answer.headers.get("ETag", "")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        opened.close()


def pause(attempt: int) -> None:
    """Wait before trying again, longer each time."""
    time.sleep(min(2.0**attempt, 10))
