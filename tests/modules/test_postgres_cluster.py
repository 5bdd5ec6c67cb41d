"""A cluster is made once, with its log on another filesystem where there is one."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.servers import postgres_tool

CHECKOUT = Path(__file__).parents[2]
USER = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own, which is closed to other users."""
    made = Path(tempfile.mkdtemp(prefix="dbhost-cluster-"))
    made.chmod(0o755)
    for name in ("data", "wal"):
        (made / name).mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(made / name, USER)
    yield made
    shutil.rmtree(made)


def make(folder: Path) -> subprocess.CompletedProcess[str]:
    bin_dir = Path(postgres_tool("initdb")).parent
    arguments = f"bin_dir={bin_dir} data_dir={folder}/data os_user={USER} wal_dir={folder}/wal"
    command = [Path(sys.executable).with_name("ansible"), "-i", "localhost,", "-c", "local", "localhost"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", "-m", "postgres_cluster", "-a", arguments]
    environment = os.environ | {"LD_LIBRARY_PATH": str(bin_dir.parent / "lib")}
    return subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)


def result(run: subprocess.CompletedProcess[str]) -> dict[str, object]:
    return dict(json.loads(run.stdout.partition("=>")[2]))


def test_the_log_is_elsewhere_and_the_second_time_changes_nothing(folder: Path) -> None:
    (folder / "wal" / "000000010000000000000001").touch()  # of a run that was cut short
    assert result(make(folder))["changed"] is True
    assert (folder / "data/pg_wal").resolve() == folder / "wal"
    assert (folder / "wal/000000010000000000000001").stat().st_size > 0
    assert result(make(folder))["changed"] is False


def test_a_folder_with_anything_else_is_refused_and_left_as_it_is(folder: Path) -> None:
    (folder / "wal" / "letter.txt").write_text("dear")
    refused = make(folder)
    assert "is not empty" in refused.stdout
    assert (folder / "wal" / "letter.txt").read_text() == "dear"
    assert not (folder / "data/PG_VERSION").exists()


def test_two_runs_side_by_side_make_one_cluster(folder: Path) -> None:
    """As after a killed `up`, whose module goes on alone: they took each other's folder away before."""
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(make, [folder, folder]))
    assert sorted(bool(result(run)["changed"]) for run in ended) == [False, True], [run.stdout for run in ended]
