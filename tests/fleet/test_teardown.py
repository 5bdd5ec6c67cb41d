"""A fleet that goes leaves nothing, whatever happened before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.support import Machine, on_host, processes_of
from webapp.fleet import Fleet, cgroups

pytestmark = pytest.mark.slow
CHECKOUT = Path(__file__).parents[2]
UP = """
import sys
from pathlib import Path
from webapp.fleet import Fleet
Fleet(Path(sys.argv[1]), images=Path(sys.argv[2]), progress=lambda sentence: print(sentence, flush=True)).up(2)
"""


@pytest.fixture
def lone_fleet(tmp_path: Path, images: Path) -> Iterator[Fleet]:
    """A fleet without hosts yet."""
    fleet = Fleet(tmp_path / "home", images=images)
    yield fleet
    fleet.down(purge=True)


def kill_up_when(home: Path, images: Path, sentence: str, after_s: float = 0.0) -> None:
    """Run `up` in a process of its own and kill that hard once it has said *sentence*."""
    command = [sys.executable, "-c", UP, str(home), str(images)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        assert any(sentence in line for line in process.stdout), f"`up` never said: {sentence}"
        time.sleep(after_s)
        os.kill(process.pid, signal.SIGKILL)


def test_down_leaves_nothing(machine: Machine, lone_fleet: Fleet) -> None:
    lone_fleet.up(1)
    assert len(machine.left_by(lone_fleet, within_s=0)) > 5  # the look finds what there is
    lone_fleet.down()
    assert machine.left_by(lone_fleet) == []


def test_down_twice_and_without_up(machine: Machine, lone_fleet: Fleet) -> None:
    lone_fleet.down()
    lone_fleet.down()
    assert machine.left_by(lone_fleet) == []


def test_disks_outlive_down_but_not_purge(lone_fleet: Fleet) -> None:
    (host,) = lone_fleet.up(1)
    on_host(host, "sudo touch /kept")
    lone_fleet.down()
    assert lone_fleet.up(1) == [host]
    assert on_host(host, "ls /kept") == "/kept"
    lone_fleet.down(purge=True)
    assert lone_fleet.hosts() == []
    assert not (lone_fleet.folder / "hosts").exists()


def test_down_after_a_power_cut(machine: Machine, lone_fleet: Fleet) -> None:
    lone_fleet.up(1)
    lone_fleet.kill("db1")
    lone_fleet.down()
    assert machine.left_by(lone_fleet) == []


def test_down_after_nspawn_alone_was_killed(machine: Machine, lone_fleet: Fleet) -> None:
    lone_fleet.up(1)
    (nspawn,) = cgroups.processes(f"{lone_fleet.names.cgroup}/db1/machine/supervisor")
    os.kill(nspawn, signal.SIGKILL)
    lone_fleet.down()
    assert machine.left_by(lone_fleet) == []


@pytest.mark.parametrize("sentence", ["Starting db1", "Starting db2", "is running"])
def test_down_after_up_was_killed(machine: Machine, lone_fleet: Fleet, images: Path, sentence: str) -> None:
    kill_up_when(lone_fleet.folder.parent, images, sentence)
    lone_fleet.down()
    assert machine.left_by(lone_fleet) == []


def test_down_after_up_was_killed_while_it_made_the_image(machine: Machine, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "home")
    kill_up_when(tmp_path / "home", fleet.images, "Making the image", after_s=3)
    assert any("mmdebstrap" in process for process in processes_of(fleet, within_s=0))
    fleet.down()
    assert machine.left_by(fleet) == []


def test_up_heals_what_a_killed_up_left(lone_fleet: Fleet, images: Path) -> None:
    kill_up_when(lone_fleet.folder.parent, images, "Starting db2")
    for host in lone_fleet.up(2):
        assert on_host(host, "systemctl is-system-running") == "running"
