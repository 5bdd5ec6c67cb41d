"""A whole stack by `./dbhost`: up, again, faults, down, purge; as whoever runs the tests, and as an ordinary user."""

import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.embedded.support import PROGRAMS, living, pids
from tests.support.servers import pgbouncer_executable
from tests.support.stack import CHECKOUT, Stack
from webapp.embedded import acl

pytestmark = pytest.mark.stack


@pytest.fixture
def stack() -> Iterator[Stack]:
    """A stack whose home lies below a folder that is closed to everybody else."""
    with tempfile.TemporaryDirectory(prefix="dbhost-embedded-") as folder:
        stack = Stack(Path(folder) / "home")
        try:
            yield stack
        finally:
            stack.dbhost("down", "--purge", "--yes", check=False)


def up(stack: Stack) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(stack.dbhost("up", "--detach", "--json").stdout)
    return told


def wait_for(what: str, holds: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while True:
        looked = time.monotonic()
        if holds():
            return
        took = time.monotonic() - looked
        assert time.monotonic() < deadline, f"after {seconds} s still not: {what}"
        time.sleep(max(0.1, took))  # a look may be a program of its own, which is to wait for others, not in their way


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_up_again_faults_down_purge(stack: Stack) -> None:
    mode = stack.home.parent.stat().st_mode
    first = up(stack)
    assert first["admin_created"]
    assert set(pids(stack)) == PROGRAMS
    findings = json.loads(stack.dbhost("doctor", "--json").stdout)
    assert [finding for finding in findings if not finding["well"]] == []

    before = pids(stack)
    again = up(stack)
    assert (again["admin_created"], again["admin_password"]) == (False, None)
    assert pids(stack) == before

    for name, pid in before.items():
        kill(pid)
        wait_for(f"{name} is back", lambda name=name, pid=pid: pids(stack).get(name) not in (None, pid))
    wait_for("all run and work", lambda: stack.dbhost("doctor", check=False).returncode == 0)

    kill(int((stack.home / "supervisor" / "supervisord.pid").read_text()))
    wait_for("all are gone with the supervisor", lambda: living(stack.home) == [])
    up(stack)
    assert set(pids(stack)) == PROGRAMS

    kill(int((stack.home / "supervisor" / "supervisord.pid").read_text()))
    stack.dbhost("down")
    assert living(stack.home) == []
    assert (stack.home / "postgres" / "data" / "PG_VERSION").exists()

    stack.purge()
    assert not stack.home.exists()
    assert stack.home.parent.stat().st_mode == mode
    assert acl.ATTRIBUTE not in os.listxattr(stack.home.parent)


@pytest.mark.parametrize("seconds", [2, 5, 9])
def test_killed_on_its_way_it_converges_the_next_time(stack: Stack, seconds: int) -> None:
    process = subprocess.Popen(
        [CHECKOUT / "dbhost", "up", "--detach"], env=stack.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(seconds)
    process.kill()
    process.wait()
    up(stack)
    assert set(pids(stack)) == PROGRAMS


def test_in_the_foreground_an_interrupt_stops_it(stack: Stack) -> None:
    # Started in the background of a shell, these tests and all that they start would ignore the signal.
    process = subprocess.Popen(
        ["env", "--default-signal=INT", CHECKOUT / "dbhost", "up"],
        env=stack.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    wait_for("it says that it is ready", lambda: "DBHost is ready" in (process.stdout or [""]).readline(), 120)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert living(stack.home) == []


@contextmanager
def ordinary_user() -> Iterator[str]:
    """A user who may not do anything special: the current one, or for root one made for the test."""
    if os.geteuid() != 0:
        yield pwd.getpwuid(os.geteuid()).pw_name
        return
    name = f"dbhost-test-{os.getpid()}"
    subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/bin/sh", name], check=True)
    uid = pwd.getpwnam(name).pw_uid
    closed = [folder for folder in Path(os.path.realpath(CHECKOUT / ".venv/bin/python")).parents if is_closed(folder)]
    kept = {folder: (acl.read(folder), folder.stat().st_mode & 0o7777) for folder in closed}
    try:
        for folder in closed:
            acl.write(folder, acl.with_users(acl.read(folder), [uid], 1))
        yield name
    finally:
        for folder, (entries, mode) in kept.items():
            left = acl.without_users(acl.read(folder), [uid])
            named = any(entry.tag == acl.USER for entry in entries)
            acl.write(folder, left) if named else acl.remove(folder, mode)
        subprocess.run(["userdel", name], check=True)


def is_closed(folder: Path) -> bool:
    return folder.stat().st_mode & 1 == 0


def test_an_ordinary_user_gets_the_same() -> None:
    with ordinary_user() as name, tempfile.TemporaryDirectory(prefix="dbhost-ordinary-") as folder:
        mine = Path(folder)
        checkout = copy_of_checkout(mine / "checkout")
        shutil.copy(pgbouncer_executable(), mine / "pgbouncer")
        subprocess.run(["chown", "-R", name, mine], check=True)
        theirs = Stack(checkout / ".dbhost")
        env = theirs.env | {"DBHOST_PGBOUNCER_BIN": str(mine / "pgbouncer"), "HOME": str(mine), "USER": name}
        del env["DBHOST_HOME"]

        def dbhost(*arguments: str) -> str:
            ended = subprocess.run(
                [checkout / "dbhost", *arguments], env=env, cwd=mine, capture_output=True, text=True, check=False,
                user=name if os.geteuid() == 0 else None, extra_groups=[] if os.geteuid() == 0 else None,
            )  # fmt: skip
            assert ended.returncode == 0, ended.stderr
            return ended.stdout

        try:
            assert json.loads(dbhost("up", "--detach", "--json"))["admin_created"]
            processes = json.loads(dbhost("status", "--json"))["processes"]
            owners = {Path(f"/proc/{row['pid']}").stat().st_uid for row in processes}
            assert owners == {pwd.getpwnam(name).pw_uid}
        finally:
            dbhost("down", "--purge", "--yes")
        assert living(theirs.home) == []
        assert not theirs.home.exists()


def copy_of_checkout(target: Path) -> Path:
    """What a clone would have, with the environment that is made already."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout
    for name in listed.splitlines():
        if (CHECKOUT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, target / name)
    (target / ".venv").symlink_to(CHECKOUT / ".venv")
    return target
