# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""gzip and age on streams: by ISA-L and pyrage where the host's Python has them, else by zlib and the program age."""

from __future__ import annotations

import bz2
import contextlib
import lzma
import os
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import IO, Any

from .errors import TenantError

fastest: ModuleType = zlib
with contextlib.suppress(ImportError):
    from isal import isal_zlib as fastest
try:
    import pyrage
except ImportError:
    pyrage = None

GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 2 if fastest is not zlib else 3  # each library has levels of its own
_ERRORS = (zlib.error, fastest.error)
_GZIP_MAGIC = b"\x1f\x8b"
_LZMA_MEMORY = 128 << 20
_ZSTD_MEMORY_MB = 128
_AGE = b"age-encryption.org/v1"


def compressor() -> Any:
    """What makes gzip of the chunks it is given: `compress` and then `flush`."""
    return fastest.compressobj(level=_LEVEL, wbits=GZIP)


def is_gzip(head: bytes) -> bool:
    """Whether a file that begins with *head* is gzip."""
    return head.startswith(_GZIP_MAGIC)


def is_age(head: bytes) -> bool:
    """Whether a file that begins with *head* is encrypted by age."""
    return head.startswith(_AGE)


def decompressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The contents of gzip *chunks*, never more than a megabyte at once. Raises TenantError if they are damaged.

    What follows the last member and is none is passed over, as gunzip does.
    """
    stream, ended, waiting = fastest.decompressobj(wbits=GZIP), True, b""
    try:
        for chunk in chunks:
            rest = waiting + chunk
            waiting = b""
            while rest:
                if ended and stream.eof:  # gzip files may be put one after the other
                    if len(rest) < len(_GZIP_MAGIC):
                        waiting = rest
                        break
                    if not is_gzip(rest):
                        return
                    stream = fastest.decompressobj(wbits=GZIP)
                yield stream.decompress(rest, 1 << 20)
                rest = stream.unused_data if stream.eof else stream.unconsumed_tail
                ended = stream.eof
    except _ERRORS:
        raise _damaged() from None
    if not ended:
        raise _damaged()


def unpacked(head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes] | None:
    """The contents of *chunks*, which begin with *head*; None if they are not compressed in a way that is known."""
    if is_gzip(head):
        return decompressed(chunks)
    if head.startswith(b"BZh"):
        return _by_blocks(chunks, bz2.BZ2Decompressor)
    if head.startswith(b"\xfd7zXZ\0"):
        return _by_blocks(chunks, lambda: lzma.LZMADecompressor(memlimit=_LZMA_MEMORY))
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstandard(chunks)
    return None


def _by_blocks(chunks: Iterator[bytes], new: Callable[[], Any]) -> Iterator[bytes]:
    stream = new()
    try:
        for chunk in chunks:
            rest = chunk
            while rest or not (stream.eof or stream.needs_input):
                if stream.eof:
                    stream = new()
                yield stream.decompress(rest, 1 << 20)
                rest = stream.unused_data if stream.eof else b""
    except (OSError, EOFError, lzma.LZMAError):
        raise _damaged() from None
    if not stream.eof:
        raise _damaged()


def _zstandard(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """By the program zstd, in a process of its own that reads nothing but what it is sent."""
    command = ["zstd", "--decompress", "--stdout", "--quiet", "--no-progress", f"--memory={_ZSTD_MEMORY_MB}MB"]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
    except FileNotFoundError:
        told = "The file is compressed with zstd, which this host cannot read. Send it as .gz or uncompressed."
        raise TenantError("unknown_format", told, step="Read the file") from None
    failed: list[BaseException] = []
    feeder = threading.Thread(target=_feed, args=(process.stdin, chunks, failed), daemon=True)
    feeder.start()
    try:
        while chunk := process.stdout.read(1 << 20) if process.stdout else b"":
            yield chunk
        feeder.join()
        if failed:
            raise failed[0]
        if process.wait() != 0:
            raise _damaged()
    finally:
        process.kill()
        feeder.join()
        process.wait()
        if process.stdout:
            process.stdout.close()


def _feed(target: IO[bytes] | None, chunks: Iterator[bytes], failed: list[BaseException]) -> None:
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view and target:
                view = view[target.write(view) :]
    except BrokenPipeError:
        pass
    except BaseException as error:  # noqa: BLE001  # a thread's outermost: the reader raises it
        failed.append(error)
    finally:
        if target:
            target.close()


class Encryption:
    """Encrypts what is written to it and hands it to *sink*; `close` ends it."""

    def __init__(self, recipients: list[str], sink: Callable[[bytes], None]) -> None:
        self._sink, self._failure = sink, False
        read_end, write_end = os.pipe()
        self._input = os.fdopen(write_end, "wb")
        work = self._by_library if pyrage else self._by_program
        self._thread = threading.Thread(target=self._guarded, args=(work, recipients, read_end), daemon=True)
        self._thread.start()

    def write(self, data: bytes) -> None:
        """Encrypt *data*."""
        try:
            self._input.write(data)
        except OSError:
            raise _not_encrypted() from None

    def close(self) -> None:
        """Encrypt the rest and wait until all of it was handed on."""
        try:
            self._input.close()
        except OSError:
            self._failure = True
        self._thread.join()
        if self._failure:
            raise _not_encrypted()

    def _guarded(self, work: Callable[[list[str], int], None], recipients: list[str], source: int) -> None:
        try:
            work(recipients, source)
        except BaseException:  # noqa: BLE001  # a thread's outermost: `close` raises in its stead
            self._failure = True

    def _by_library(self, recipients: list[str], source: int) -> None:
        keys = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
        with os.fdopen(source, "rb") as reader:
            pyrage.encrypt_io(reader, _Writer(self._sink), keys)

    def _by_program(self, recipients: list[str], source: int) -> None:
        options = [word for recipient in recipients for word in ("-r", recipient)]
        with (
            os.fdopen(source, "rb") as reader,
            subprocess.Popen(["age", *options], stdin=reader, stdout=subprocess.PIPE) as process,
        ):
            _pump(process.stdout, self._sink)
        if process.returncode:
            raise _not_encrypted()


class _Writer:
    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        self._sink(bytes(data))
        return len(data)

    def flush(self) -> None:
        return


def decrypted(source: IO[bytes], identity: str | None) -> Iterator[bytes]:
    """The contents of an age file. The identity goes by a pipe: neither a file nor a process list has it."""
    if not identity:
        raise TenantError("identity_needed", "The file is encrypted; its identity (age) is needed.")
    read_end, write_end = os.pipe()
    work = _decrypt_by_library if pyrage else _decrypt_by_program
    failed: list[bool] = []

    def run() -> None:
        try:
            work(source, identity, write_end)
        except BaseException:  # noqa: BLE001  # a thread's outermost: the reader raises in its stead
            failed.append(True)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    with os.fdopen(read_end, "rb") as result:
        while chunk := result.read(1 << 20):
            yield chunk
    thread.join()
    if failed:
        raise TenantError("not_decrypted", "The file cannot be decrypted with this identity, or it is damaged.")


def _decrypt_by_library(source: IO[bytes], identity: str, target: int) -> None:
    with os.fdopen(target, "wb") as writer:
        pyrage.decrypt_io(source, writer, [pyrage.x25519.Identity.from_str(identity.strip())])


def _decrypt_by_program(source: IO[bytes], identity: str, target: int) -> None:
    key_out, key_in = os.pipe()
    os.write(key_in, identity.strip().encode() + b"\n")
    os.close(key_in)
    command = ["age", "--decrypt", "--identity", f"/dev/fd/{key_out}"]
    try:
        with os.fdopen(target, "wb") as writer:
            subprocess.run(command, stdin=source, stdout=writer, pass_fds=(key_out,), check=True)
    finally:
        os.close(key_out)


def _pump(stream: IO[bytes] | None, sink: Callable[[bytes], None]) -> None:
    while stream and (chunk := stream.read(1 << 20)):
        sink(chunk)


def _damaged() -> TenantError:
    return TenantError("damaged_file", "The file is damaged: it ends too early, or is no gzip.", step="Read the file")


def _not_encrypted() -> TenantError:
    return TenantError("not_encrypted", "The dump cannot be encrypted for these recipients.", step="Encrypt the dump")
