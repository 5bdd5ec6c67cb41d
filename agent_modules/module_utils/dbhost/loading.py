# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Load a dump into a database as the tenant: psql in its restricted mode, fed by us, run as the OS user of dumps."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import select
import threading
from collections.abc import Callable, Iterator

from .dump_errors import Complaints, explain
from .dump_filter import PATH, Filter
from .dump_user import DumpUser, Running
from .errors import TenantError
from .jobs import Progress

_STEP = "Load the dump"
_PIPE = 1 << 20
# Lines that psql is sent before the dump's first.
FIRST_LINES = 2
_PSQL = ("-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-f", "-")  # with -f it names lines
_PG_RESTORE = ("--no-owner", "--no-privileges", "--no-tablespaces", "--no-security-labels", "--file=-")


def load(
    user: DumpUser,
    tenant: str,
    database: str,
    text: Iterator[bytes],
    progress: Progress,
    watch: Callable[[], None],
    foreign: Filter | None = None,
) -> None:
    """Give *text* to psql: byte for byte, or by way of *foreign*. *watch* is asked every second and raises to end it.

    In restricted mode psql carries out no backslash command but the end of that mode, for which a dump would have to
    know our key. A psql that does not know this mode stops at the first line.
    """
    key = secrets.token_hex(32).encode()
    with _Fed(user, "psql", _PSQL, tenant, database, stdout=os.open(os.devnull, os.O_WRONLY)) as psql:
        look = _both(progress, watch)
        try:
            psql.send(b"\\restrict " + key + b"\n" + PATH, look)
            for chunk in foreign.passed(text) if foreign else text:
                psql.send(chunk, look)
        except BrokenPipeError:
            pass  # it has ended, and says why
        psql.end(look, "restore_failed", foreign)


def unpacked(user: DumpUser, tenant: str, archive: Iterator[bytes], progress: Progress) -> Iterator[bytes]:
    """The SQL of an archive, made by pg_restore without a connection to any database."""
    read_end, write_end = os.pipe()
    feeder_error: list[TenantError] = []
    with _Fed(user, "pg_restore", _PG_RESTORE, tenant, tenant, stdout=write_end) as program:

        def feed() -> None:
            try:
                for chunk in archive:
                    program.send(chunk, progress.check)
            except BrokenPipeError:
                pass
            except TenantError as error:
                feeder_error.append(error)
            finally:
                program.close_input()

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        with os.fdopen(read_end, "rb", buffering=0) as result:
            while chunk := result.read(_PIPE):
                yield chunk
        feeder.join()
        if feeder_error:
            raise feeder_error[0]
        program.end(progress.check, "not_a_dump")


class _Fed:
    """A program that reads what it is sent; whatever happens, it has ended when the `with` ends."""

    def __init__(
        self, user: DumpUser, program: str, options: tuple[str, ...], tenant: str, database: str, *, stdout: int
    ) -> None:
        read_in, self._input = os.pipe()
        read_error, write_error = os.pipe()
        streams = {"stdin": read_in, "stdout": stdout, "stderr": write_error}
        try:
            self._running: Running = user.start(program, options, tenant, database, **streams)
        finally:
            for end in streams.values():
                os.close(end)
        self._complaints, self._open = Complaints(read_error), True
        os.set_blocking(self._input, False)
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._input, fcntl.F_SETPIPE_SZ, _PIPE)

    def __enter__(self) -> _Fed:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close_input()
        self._running.kill()

    def send(self, data: bytes, look: Callable[[], None]) -> None:
        """Write all of *data*; *look* may raise meanwhile. Raises BrokenPipeError if the program has ended."""
        view = memoryview(data)
        while view:
            if select.select([], [self._input], [], 1.0)[1]:
                with contextlib.suppress(BlockingIOError):
                    view = view[os.write(self._input, view[:_PIPE]) :]
            look()

    def close_input(self) -> None:
        """Let the program see the end."""
        if self._open:
            self._open = False
            os.close(self._input)

    def end(self, look: Callable[[], None], code: str, foreign: Filter | None = None) -> None:
        """Wait for its end, asking *look*; raises TenantError unless it ended well."""
        self.close_input()
        status: list[int] = []
        waiting = threading.Thread(target=lambda: status.append(self._running.wait()), daemon=True)
        waiting.start()
        while waiting.is_alive():
            waiting.join(1.0)
            look()
        if status != [0]:
            lines, missing = (foreign.lines, foreign.missing_extensions) if foreign else (None, ())
            raise explain(self._complaints.text(), code, _STEP, lines, missing)


def _both(progress: Progress, watch: Callable[[], None]) -> Callable[[], None]:
    def look() -> None:
        progress.check()
        watch()

    return look
