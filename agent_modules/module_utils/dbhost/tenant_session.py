# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A session in a tenant's database as that tenant: psql, run as the OS user of dumps, asked one question at a time."""

from __future__ import annotations

import os
import secrets
from types import TracebackType
from typing import Any

from .dump_errors import Complaints, explain
from .dump_user import DumpUser, Running
from .errors import TenantError

_OPTIONS = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose"]


class TenantSession:
    """Open for the length of a `with`. Only statements of ours go in; each answers with one line at most.

    *role* is who is logged in to *database*.
    """

    def __init__(self, user: DumpUser, tenant: str, database: str | None = None) -> None:
        self._user, self.role, self.database = user, tenant, database or tenant
        self._running: Running | None = None

    def __enter__(self) -> TenantSession:
        read_in, write_in = os.pipe()
        read_out, write_out = os.pipe()
        read_error, write_error = os.pipe()
        streams = {"stdin": read_in, "stdout": write_out, "stderr": write_error}
        try:
            self._running = self._user.start("psql", _OPTIONS, self.role, self.database, **streams)
        except TenantError:
            for end in (write_in, read_out, read_error):
                os.close(end)
            raise
        finally:
            for end in streams.values():
                os.close(end)
        self._in, self._out = os.fdopen(write_in, "wb"), os.fdopen(read_out, "rb")
        self._complaints = Complaints(read_error)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._running is None:
            return
        self._running.kill()
        self._running.wait()
        for stream in (self._in, self._out):
            try:
                stream.close()
            except OSError:
                continue

    def ask(self, statement: str, step: str) -> str:
        """The one line that *statement* answers, or "". Raises TenantError with what PostgreSQL says against it."""
        mark = secrets.token_hex(16)
        try:
            self._in.write(f"{statement};\n\\echo {mark}\n".encode())
            self._in.flush()
        except OSError:
            raise self._failed(step) from None
        lines: list[str] = []
        for line in self._out:
            if line.decode("utf-8", "replace").rstrip("\n") == mark:
                return "\n".join(lines)
            lines.append(line.decode("utf-8", "replace").rstrip("\n"))
        raise self._failed(step)

    def cancel(self) -> None:
        """End the session from another thread; who asks is told that it failed."""
        if self._running:
            self._running.kill()

    def _failed(self, step: str) -> TenantError:
        return explain(self._complaints.text(), "not_readable", step)


def wait_for(running: Running, complaints: Complaints, code: str, step: str) -> None:
    """Raise TenantError unless *running* ends well."""
    status: Any = running.wait()
    if status != 0:
        raise explain(complaints.text(), code, step)
