"""The fork server does what the plain command does, declines what it cannot do, and leaves nothing stuck."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from tests.support.rows import VERIFIER, create_many
from tests.worker.conftest import Workers, wait_until
from tests.worker.fronts import Fronts, events, pids
from webapp.models import Host
from webapp.worker import processes
from webapp.worker.runner import fork_server_environment
from webapp.worker.warm import Warm

States = Callable[[], dict[str, int]]


def test_a_warm_run_tells_what_a_plain_run_tells(fronts: Fronts, warm: Warm) -> None:
    told = {}
    for name, socket in (("plain", ""), ("warm", warm.socket()), ("again", warm.socket())):
        code, run, errors = fronts.run(socket)
        assert (code, errors) == (0, "")
        assert len(pids(run)) == (1 if name == "plain" else 2)
        told[name] = events(run)
    assert told["plain"] == told["warm"] == told["again"]
    assert len(told["plain"]) > 5


def test_a_failing_run_fails_in_the_same_way(fronts: Fronts, warm: Warm) -> None:
    (fronts.pretend / "crash").touch()
    plain, first, _ = fronts.run("")
    warmed, second, _ = fronts.run(warm.socket())
    assert plain == warmed == 2
    assert events(first) == events(second)


def test_packed_modules_are_shared_and_hold_no_variable(fronts: Fronts, warm: Warm) -> None:
    fronts.run(warm.socket())
    packed = [file for file in (fronts.folder / "modules").rglob("*pretend*") if file.suffix != ".lock"]
    assert len(packed) == 2
    before = {file: file.stat().st_mtime_ns for file in packed}
    fronts.run(warm.socket())
    assert {file: file.stat().st_mtime_ns for file in packed} == before
    assert not any(VERIFIER.encode() in file.read_bytes() for file in packed)


@pytest.fixture
def own_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files with a name short enough for sockets; the fork server is started with it."""
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def test_a_warm_run_leaves_no_temporary_file(own_tmp: Path, fronts: Fronts) -> None:
    server = Warm(fronts.folder, fork_server_environment())
    try:
        _, run, _ = fronts.run(server.socket())
        assert len(pids(run)) == 2
        assert list(own_tmp.iterdir()) == []
    finally:
        server.close()


@pytest.mark.parametrize("changed", [{"ANSIBLE_FORKS": "7"}, {"LANG": "en_GB.UTF-8", "LC_ALL": "C.UTF-8"}])
def test_other_settings_are_left_to_the_plain_command(fronts: Fronts, warm: Warm, changed: dict[str, str]) -> None:
    code, run, _ = fronts.run(warm.socket(), **changed)
    assert (code, len(pids(run))) == (0, 1)


def test_an_absent_server_is_left_to_the_plain_command(fronts: Fronts) -> None:
    code, run, _ = fronts.run(str(fronts.folder / "nobody-listens"))
    assert (code, len(pids(run))) == (0, 1)


def test_a_changed_configuration_ends_the_server(fronts: Fronts, tmp_path: Path) -> None:
    configuration = tmp_path / "ansible.cfg"
    configuration.write_text("[defaults]\n")
    own = {"ANSIBLE_CONFIG": str(configuration)}
    warm = Warm(tmp_path, fork_server_environment() | own)
    try:
        first = warm.socket()
        configuration.write_text("[defaults]\nforks = 3\n")
        code, run, _ = fronts.run(first, **own)
        assert (code, len(pids(run))) == (0, 1)
        wait_until(lambda: warm.socket() != first, 5)
        code, run, _ = fronts.run(warm.socket(), **own)
        assert (code, len(pids(run))) == (0, 2)
    finally:
        warm.close()


def started(fronts: Fronts, warm: Warm) -> tuple[subprocess.Popen[bytes], list[int]]:
    """A front whose module is at work, with all processes of the run."""
    (fronts.pretend / "wait").touch()
    front, run = fronts.start(warm.socket())
    wait_until((fronts.pretend / "entered").exists)
    members = sorted(processes.tree(pids(run)))
    assert len(members) >= 4
    return front, members


def assert_gone(members: list[int]) -> None:
    wait_until(lambda: not processes.parents().keys() & set(members), 10)


def test_sigterm_to_the_front_ends_the_run(fronts: Fronts, warm: Warm) -> None:
    front, members = started(fronts, warm)
    front.terminate()
    front.communicate(timeout=15)
    assert front.returncode != 0
    assert_gone(members)


def test_kill_of_the_front_ends_the_run(fronts: Fronts, warm: Warm) -> None:
    front, members = started(fronts, warm)
    front.kill()
    front.communicate(timeout=15)
    assert_gone(members)
    (fronts.pretend / "wait").unlink()
    code, run, _ = fronts.run(warm.socket())
    assert (code, len(pids(run))) == (0, 2)


def test_the_server_ends_its_runs_with_the_worker(fronts: Fronts, warm: Warm) -> None:
    front, members = started(fronts, warm)
    warm.close()
    front.communicate(timeout=15)
    assert_gone(members)


def test_kill_of_the_fork_server_in_a_run(workers: Workers, host: Host, session: Session, states: States) -> None:
    workers.flag("wait").touch()
    process = workers.start()
    create_many(session, host, 2)
    wait_until(workers.flag("entered").exists)
    (server,) = [pid for pid in processes.tree([process.pid]) if is_server(pid, process.pid)]
    os.kill(server, signal.SIGKILL)
    time.sleep(0.5)
    workers.flag("wait").unlink()
    wait_until(lambda: states() == {"succeeded": 2})


def is_server(pid: int, worker: int) -> bool:
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    return b"fork_server" in arguments and processes.parents().get(pid) == worker
