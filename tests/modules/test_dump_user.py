"""The OS user of dumps: it becomes tenants alone, is asked for by the agent alone, and runs nothing but dumps."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from agent_modules.module_utils.dbhost import dump_programs, dump_user, tenant_session
from agent_modules.module_utils.dbhost.errors import TenantError
from tests.support import dumps
from tests.support.servers import postgres_tool, wait_for


def test_the_os_user_of_dumps_becomes_tenants_and_nobody_else(dataplane, filled):
    for role in ("postgres", "dbhost_provisioner", "dbhost-control", "pg_read_all_data"):
        with pytest.raises(TenantError) as caught:
            ask(dataplane, role, "postgres")
        assert caught.value.message
    assert ask(dataplane, filled.name, filled.name) == filled.name


def ask(dataplane, role, database):
    with tenant_session.TenantSession(dumps.dump_user(dataplane), role, database) as session:
        return session.ask("SELECT session_user", "Ask who this is")


@pytest.mark.skipif(os.geteuid() != 0, reason="another OS user is only to be had by root")
def test_no_other_os_user_becomes_a_tenant(dataplane, filled):
    where = ["-h", str(dataplane.socket_dir), "-p", str(dataplane.postgres_port), "-U", filled.name, "-c", "SELECT 1"]
    command = [postgres_tool("psql"), "-X", *where, filled.name]
    for user in ("root", dataplane.user):
        done = subprocess.run(command, user=user, cwd="/", capture_output=True, text=True, check=False)
        assert "Peer authentication failed" in done.stderr


@pytest.fixture
def asked(dataplane, monkeypatch):
    """Lets the agent in this process ask for programs by the socket, which takes whom it is told to take."""
    folder = Path(tempfile.mkdtemp(prefix="dbhost-ask-", dir="/tmp"))
    folder.chmod(0o777)
    as_user = {"user": dataplane.dump_user} if os.geteuid() == 0 else {}
    script = Path(dump_programs.__file__)
    servers = []

    def listening(*allowed):
        path = folder / f"socket-{len(servers)}"
        command = [python_for(as_user), "-I", str(script), "--bin-dir", dumps.dump_user(dataplane).bin_dir]
        command += ["--listen", str(path), "--allow", *allowed]
        servers.append(subprocess.Popen(command, cwd="/", **as_user))
        wait_for(lambda: connect(path), OSError)
        monkeypatch.setattr(dump_user.DumpUser, "start", dump_user.DumpUser._by_socket)
        return {"socket": str(path)}

    yield listening
    for server in servers:
        server.terminate()
        server.wait(10)
    shutil.rmtree(folder)


def python_for(as_user):
    """A Python that the OS user of dumps may run too: this one may lie below a closed folder."""
    for python in (sys.executable, "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            if subprocess.run([python, "-I", "-c", ""], check=False, cwd="/", **as_user).returncode == 0:
                return python
    pytest.skip("no Python here that the OS user of dumps may run")


def connect(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))


ME = pwd.getpwuid(os.geteuid()).pw_name


def test_the_agent_asks_by_a_socket(dataplane, filled, asked):
    user = asked(ME)
    made = dumps.back_up(dataplane, dumps.wanted(filled.name), **user)
    assert made["manifest"]["rows"] == dumps.ROWS


def test_the_socket_takes_only_the_agent(dataplane, filled, asked):
    error = dumps.refused(dataplane, dumps.wanted(filled.name), **asked("nobody" if ME != "nobody" else "root"))
    assert error.code in ("not_readable", "dump_user_unavailable")


def test_the_socket_runs_nothing_but_dumps(dataplane, filled, asked):
    user = dumps.dump_user(dataplane, **asked(ME))
    with Path(os.devnull).open("r+b") as nothing:
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), nothing.fileno())
        for program in ("sh", "../bin/psql", "/bin/sh", "createdb"):
            assert user.start(program, ["-c", "id"], filled.name, filled.name, **streams).wait() == 127


def test_a_program_ends_with_who_asked_for_it(dataplane, filled, asked):
    user = dumps.dump_user(dataplane, **asked(ME))
    with tenant_session.TenantSession(user, filled.name) as session:
        session.ask("SELECT 1", "Ask")
        assert list(dumps.programs_of(dataplane, "psql"))
    wait_for(lambda: no_more(dataplane, "psql"), AssertionError)


def no_more(dataplane, name):
    assert list(dumps.programs_of(dataplane, name)) == []


@pytest.fixture
def reachable():
    """A folder that the OS user of dumps may write into; pytest's own lie below a closed one."""
    folder = Path(tempfile.mkdtemp(prefix="dbhost-reach-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def test_what_runs_as_the_os_user_of_dumps_starts_no_program_and_writes_no_file(dataplane, filled, reachable):
    made = reachable / "made"
    for command in (rf"\! touch {made}", rf"\o | touch {made}", rf"\o {made}"):
        with tenant_session.TenantSession(dumps.dump_user(dataplane), filled.name) as session:
            with contextlib.suppress(TenantError):
                session.ask(f"SELECT 1;\n{command}\nSELECT repeat('x', 100)", "Try")
            with contextlib.suppress(TenantError):
                session.ask("\\o\nSELECT 1", "Close what was opened")
        if command.startswith(r"\o /"):  # psql may open it, and write nothing into it
            assert made.stat().st_size == 0
        else:
            assert not made.exists(), command


def test_a_program_knows_nothing_of_who_asked_for_it(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    monkeypatch.setenv("PGPASSWORD", "canary")
    found = dump_programs.environment({"PGUSER": "shop", "PGPASSWORD": "canary", "LD_PRELOAD": "canary"})
    assert "canary" not in found.values()
    assert (found["PGUSER"], found["PATH"]) == ("shop", "/usr/bin:/bin")
