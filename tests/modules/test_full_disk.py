"""The disk of PgBouncer's files, or of the host's memory, is full: what is there stays, and the next run goes on."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small filesystem")


@contextlib.contextmanager
def full(folder: Path) -> Iterator[Callable[[], None]]:
    """*folder* and what lies in it on a filesystem without a byte left; yields a way to make room."""
    small = folder.with_name("small")
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", small], check=False).returncode:
        small.rmdir()
        pytest.skip("this root may not mount a filesystem")
    try:
        copy(folder, small)
        subprocess.run(["mount", "--move", small, folder], check=True)
        filler = folder / "filler"
        filler.write_bytes(b"x" * shutil.disk_usage(folder).free)
        yield filler.unlink
        subprocess.run(["mount", "--move", folder, small], check=True)
        copy(small, folder)
    finally:
        subprocess.run(["umount", small if small.is_mount() else folder], check=True)
        small.rmdir()


def copy(source: Path, target: Path) -> None:
    """What lies in *source*, with its owners, modes and times."""
    subprocess.run(["cp", "-aT", source, target], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("place", ["config_dir", "state_dir"])
def test_it_is_named_leaves_what_was_there_and_heals(dataplane, shop, tenants, place):
    folder, newcomer = getattr(dataplane, place), tenants()
    with full(folder) as make_room:
        before = contents(folder)
        [result] = dataplane.converge(newcomer.item())
        assert (result["error"]["code"], result["error"]["retryable"]) == ("host_disk_full", True)
        assert contents(folder) == before
        dataplane.connect(shop.name, shop.password).close()
        make_room()
        assert dataplane.converge(newcomer.item())[0]["error"] is None
        dataplane.connect(newcomer.name, newcomer.password).close()
