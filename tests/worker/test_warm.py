"""The fork server does what the plain command does, declines what it cannot do, and leaves nothing stuck."""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from tests.support.rows import VERIFIER, create_many
from tests.worker.conftest import Workers, wait_until
from tests.worker.fronts import PATIENCE_S, Fronts, stream_of
from webapp.models import Host
from webapp.worker import processes, warm_client
from webapp.worker.runner import fork_server_environment
from webapp.worker.warm import Warm

States = Callable[[], dict[str, int]]


def test_a_warm_run_tells_what_a_plain_run_tells(fronts: Fronts, warm: Warm) -> None:
    plain, warmed, again = fronts.plain(), fronts.warm(warm), fronts.warm(warm)
    assert warmed is not None
    assert again is not None
    assert (plain.code, warmed.code, again.code) == (0, 0, 0)
    assert plain.told == warmed.told == again.told
    assert len(plain.told) > 5


def test_a_failing_run_fails_in_the_same_way(fronts: Fronts, warm: Warm) -> None:
    (fronts.pretend / "crash").touch()
    plain, warmed = fronts.plain(), fronts.warm(warm)
    assert warmed is not None
    assert plain.code == warmed.code == 2
    assert plain.told == warmed.told


def test_a_host_that_cannot_be_reached_is_told_in_the_same_way(fronts: Fronts, warm: Warm) -> None:
    fronts.host = "away"
    plain, warmed = fronts.plain(), fronts.warm(warm)
    assert warmed is not None
    assert plain.code == warmed.code == 4
    assert plain.told == warmed.told
    assert any(event["event"] == "runner_on_unreachable" for event in plain.told)


def test_no_secret_is_in_the_stream(fronts: Fronts, warm: Warm) -> None:
    warmed = fronts.warm(warm)
    assert warmed is not None
    assert VERIFIER not in str(warmed.events)


def test_a_changed_inventory_is_read_again(fronts: Fronts, warm: Warm, tmp_path: Path) -> None:
    """Also one that was prepared: its content decides, and so do its folders of variables."""
    text = fronts.inventory.read_text()
    fronts.inventory = tmp_path / "hosts.yml"
    fronts.inventory.write_text(text)
    for _ in range(2):
        assert tasks(fronts, warm) == 3
    fronts.inventory.write_text(text.replace("local:", "elsewhere:"))
    assert tasks(fronts, warm) == 0
    fronts.inventory.write_text(text)
    variables = tmp_path / "host_vars" / "local.yml"
    variables.parent.mkdir()
    variables.write_text("ansible_python_interpreter: /nowhere/python\n")
    changed = fronts.warm(warm)
    assert changed is not None
    assert changed.code != 0
    variables.unlink()
    assert tasks(fronts, warm) == 3


def tasks(fronts: Fronts, warm: Warm) -> int:
    run = fronts.warm(warm)
    assert run is not None
    return sum(event["event"] == "runner_on_ok" for event in run.told)


def test_a_changed_playbook_is_read_again(fronts: Fronts, warm: Warm, tmp_path: Path) -> None:
    book = tmp_path / "books" / "databases.yml"
    book.parent.mkdir()
    book.write_text("- {hosts: all, gather_facts: false, tasks: [{ansible.builtin.assert: {that: true}}]}\n")
    fronts.playbook = book
    assert [tasks(fronts, warm) for _ in range(2)] == [1, 1]
    book.write_text(book.read_text().replace("]}", ", {ansible.builtin.assert: {that: true}}]}"))
    assert tasks(fronts, warm) == 2


def test_packed_modules_are_shared_and_hold_no_variable(fronts: Fronts, warm: Warm, tmp_path: Path) -> None:
    """A module is packed where it cannot run inside the forked run, as for another Python."""
    fronts.inventory = tmp_path / "hosts.yml"
    python = "ansible_connection: local, ansible_python_interpreter: /usr/bin/python3"
    fronts.inventory.write_text(f"database_hosts: {{hosts: {{local: {{{python}}}}}}}\n")
    assert tasks(fronts, warm) == 3
    packed = [file for file in (fronts.folder / "modules").rglob("*pretend*") if file.suffix != ".lock"]
    assert len(packed) == 2
    before = {file: file.stat().st_mtime_ns for file in packed}
    assert tasks(fronts, warm) == 3
    assert {file: file.stat().st_mtime_ns for file in packed} == before
    assert not any(VERIFIER.encode() in file.read_bytes() for file in packed)


@pytest.fixture
def own_tmp(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for temporary files with a name short enough for sockets; the fork server is started with it."""
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def test_a_warm_run_leaves_no_temporary_file(own_tmp: Path, fronts: Fronts) -> None:
    server = Warm(fronts.folder, fork_server_environment(), fronts.inventory)
    try:
        assert fronts.warm(server) is not None
        assert list(own_tmp.iterdir()) == []
    finally:
        server.close()


def test_many_runs_leave_the_server_as_it_was(fronts: Fronts, warm: Warm) -> None:
    """Memory, descriptors and children: a server lives as long as its worker, for all runs."""
    for _ in range(3):
        fronts.warm(warm)
    pid = warm_pid(warm)
    before = descriptors(pid), resident_pages(pid)
    for _ in range(30):
        assert fronts.warm(warm) is not None
    wait_until(lambda: descriptors(pid) <= before[0], 10)  # it closes those of the last run after having told its end
    assert resident_pages(pid) < before[1] * 1.05
    assert processes.tree([pid]) == {pid}


def warm_pid(warm: Warm) -> int:
    assert warm._process is not None
    return warm._process.pid


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def resident_pages(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1])


@pytest.mark.parametrize("changed", [{"ANSIBLE_FORKS": "7"}, {"LANG": "en_GB.UTF-8", "LC_ALL": "C.UTF-8"}])
def test_other_settings_are_left_to_the_plain_command(fronts: Fronts, warm: Warm, changed: dict[str, str]) -> None:
    assert fronts.warm(warm, **changed) is None


def test_an_absent_server_is_left_to_the_plain_command(fronts: Fronts) -> None:
    assert fronts.warm(str(fronts.folder / "nobody-listens")) is None


def test_a_server_that_is_not_ready_is_not_waited_for(fronts: Fronts, warm: Warm) -> None:
    assert warm.socket(0) == ""
    assert warm.socket(PATIENCE_S) != ""


def test_a_changed_configuration_ends_the_server(fronts: Fronts, tmp_path: Path) -> None:
    configuration = tmp_path / "ansible.cfg"
    configuration.write_text("[defaults]\n")
    own = {"ANSIBLE_CONFIG": str(configuration)}
    warm = Warm(tmp_path, fork_server_environment() | own, fronts.inventory)
    try:
        first = warm.socket(PATIENCE_S)
        configuration.write_text("[defaults]\nforks = 3\n")
        assert fronts.warm(first, **own) is None
        wait_until(lambda: warm.socket(0) != first, 5)
        assert fronts.warm(warm, **own) is not None
    finally:
        warm.close()


def test_a_changed_module_ends_the_server(fronts: Fronts, tmp_path: Path) -> None:
    """What was imported must not run in place of what is there now."""
    (tmp_path / "ansible.cfg").write_text("[defaults]\n")
    module = tmp_path / "agent_modules" / "modules" / "own.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    own = {"ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")}
    warm = Warm(tmp_path, fork_server_environment() | own, fronts.inventory)
    try:
        first = warm.socket(PATIENCE_S)
        assert fronts.warm(first, **own) is not None
        module.write_text("CHANGED = True")
        assert fronts.warm(first, **own) is None
        wait_until(lambda: warm.socket(0) != first, 5)
    finally:
        warm.close()


def started(fronts: Fronts, warm: Warm) -> tuple[warm_client.WarmRun, list[int]]:
    """A run whose module is at work, with all its processes."""
    (fronts.pretend / "wait").touch()
    run, _ = fronts.start(warm.socket(PATIENCE_S))
    assert run is not None
    wait_until((fronts.pretend / "entered").exists)
    return run, sorted(processes.tree([run.pid]))


def assert_gone(members: list[int]) -> None:
    wait_until(lambda: not processes.parents().keys() & set(members), 10)


def test_sigterm_ends_the_run_and_is_told(fronts: Fronts, warm: Warm) -> None:
    run, members = started(fronts, warm)
    with run:
        processes.end([run.pid], 5)
        assert stream_of(run)
        assert run.exit_code() != 0
    assert_gone(members)


def test_a_run_that_nobody_waits_for_ends(fronts: Fronts, warm: Warm) -> None:
    run, members = started(fronts, warm)
    with run:
        pass
    assert_gone(members)
    (fronts.pretend / "wait").unlink()
    again = fronts.warm(warm)
    assert again is not None
    assert again.code == 0


def test_the_server_ends_its_runs_with_the_worker(fronts: Fronts, warm: Warm) -> None:
    run, members = started(fronts, warm)
    with run:
        warm.close()
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
