"""The supervisor of a stack: its configuration, starting it, and speaking to it over its socket."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from webapp.embedded import layout
from webapp.embedded.environment import (
    CHECKOUT,
    Stack,
    StackError,
    base_environment,
    postgres_bin,
    web_environment,
    worker_environment,
)

# Found in the environment of each process of a stack; how `down` knows them when the supervisor is gone.
MARK = "DBHOST_SUPERVISED_HOME"
FILE_LIMIT = 16384
CONNECTION_ERRORS = (OSError, xmlrpc.client.ProtocolError)


@dataclass(frozen=True)
class Program:
    """One supervised process. *stop_signal* also reaches it when the supervisor dies."""

    name: str
    command: list[str]
    user: str
    directory: Path
    stop_signal: str
    stop_wait_s: int
    environment: Mapping[str, str] = field(default_factory=dict)


def programs(stack: Stack, environ: Mapping[str, str]) -> list[Program]:
    python = sys.executable
    data, pgbouncer = stack.home / "postgres" / "data", stack.home / "pgbouncer"
    return [
        Program("postgres", [str(postgres_bin() / "postgres"), "-D", str(data)], stack.postgres_user, data, "INT", 60),
        # SIGTERM means another thing before PgBouncer 1.23 than after; SIGINT does not.
        Program(
            "pgbouncer",
            [str(stack.pgbouncer_executable), str(pgbouncer / "pgbouncer.ini")],
            stack.agent_user,
            pgbouncer,
            "INT",
            10,
        ),
        Program("web", [python, "-m", "webapp.serve"], stack.web_user, CHECKOUT, "TERM", 15, web_environment(stack, environ)),
        Program(
            "worker", [python, "-m", "webapp.worker"], stack.agent_user, CHECKOUT, "TERM", 30, worker_environment(stack, environ)
        ),
    ]


def configuration(stack: Stack, environ: Mapping[str, str]) -> str:
    """The whole of supervisord.conf. Nothing starts by itself: `up` starts each when what it needs is there."""
    logs, own = stack.home / "logs", stack.home / "supervisor"
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = FILE_LIMIT if hard_limit == resource.RLIM_INFINITY else min(FILE_LIMIT, hard_limit)
    head = {
        "unix_http_server": {"file": stack.supervisor_socket, "chmod": "0700"},
        "supervisord": {
            "logfile": logs / "supervisord.log",
            "pidfile": own / "supervisord.pid",
            "directory": stack.home,
            "childlogdir": logs,
            "umask": "027",
            "minfds": files,
        }
        | ({"user": "root"} if stack.as_root else {}),
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        "supervisorctl": {"serverurl": f"unix://{stack.supervisor_socket}"},
    }
    sections = head | {f"program:{program.name}": program_section(stack, program) for program in programs(stack, environ)}
    return "\n".join(section(name, options) for name, options in sections.items())


def section(name: str, options: Mapping[str, object]) -> str:
    return "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in options.items()), ""])


def program_section(stack: Stack, program: Program) -> dict[str, object]:
    environment = {**base_environment(stack.home / "run"), **program.environment, MARK: str(stack.home)}
    options: dict[str, object] = {
        "command": escape(shlex.join(die_with_supervisor(program))),
        "directory": escape(str(program.directory)),
        "environment": ",".join(f"{key}={quoted(value)}" for key, value in sorted(environment.items())),
        "autostart": "false",
        "autorestart": "true",
        "startsecs": 1,
        "startretries": 20,
        "stopsignal": program.stop_signal,
        "stopwaitsecs": program.stop_wait_s,
        "redirect_stderr": "true",
        "stdout_logfile": escape(str(stack.home / "logs" / f"{program.name}.log")),
        "stdout_logfile_maxbytes": "10MB",
        "stdout_logfile_backups": 3,
    }
    return options | ({"user": program.user} if stack.as_root else {})


def die_with_supervisor(program: Program) -> list[str]:
    """Where setpriv is there, the kernel stops the process when its supervisor dies; elsewhere the next `up` or `down` does."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", program.stop_signal, "--", *program.command] if setpriv else program.command


def escape(text: str) -> str:
    """supervisord expands %(name)s in every value."""
    return text.replace("%", "%%")


def quoted(value: str) -> str:
    if "\n" in value:
        raise StackError("A setting that is passed on to the stack must be one line.")
    return '"' + escape(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def write_configuration(stack: Stack, environ: Mapping[str, str]) -> bool:
    root = "root" if stack.as_root else stack.agent_user
    return layout.write_file(stack, configuration_file(stack), configuration(stack, environ), root, 0o600)


def configuration_file(stack: Stack) -> Path:
    return stack.home / "supervisor" / "supervisord.conf"


@contextmanager
def client(stack: Stack) -> Iterator[Any]:
    """The supervisor's XML-RPC interface; entering it says nothing yet about whether it answers."""
    with xmlrpc.client.ServerProxy(
        "http://127.0.0.1", transport=SupervisorTransport(None, None, f"unix://{stack.supervisor_socket}")
    ) as proxy:
        yield proxy.supervisor


def is_running(stack: Stack) -> bool:
    return pid(stack) is not None


def pid(stack: Stack) -> int | None:
    try:
        with client(stack) as supervisor:
            return int(supervisor.getPID())
    except CONNECTION_ERRORS:
        return None


def start(stack: Stack) -> None:
    """Start supervisord in a session of its own and wait until it answers."""
    command = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(configuration_file(stack))]
    with (stack.home / "logs" / "supervisord.out").open("ab") as output:
        process = subprocess.Popen(
            command,
            env={**base_environment(stack.home), MARK: str(stack.home)},
            cwd=stack.home,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    deadline = time.monotonic() + 15
    while not is_running(stack):
        if process.poll() is not None or time.monotonic() > deadline:
            said = (stack.home / "logs" / "supervisord.out").read_text(errors="replace").strip().splitlines()[-3:]
            raise StackError("supervisord did not start: " + " / ".join(said))
        time.sleep(0.05)


def reload_configuration(stack: Stack) -> None:
    """Take over changed programs: those that changed are stopped and defined anew, the others go on untouched."""
    with client(stack) as supervisor:
        added, changed, removed = supervisor.reloadConfig()[0]
        for name in [*changed, *removed]:
            supervisor.stopProcessGroup(name)
            supervisor.removeProcessGroup(name)
        for name in [*added, *changed]:
            supervisor.addProcessGroup(name)


def start_program(stack: Stack, name: str) -> None:
    """Start it unless it runs. Returns at once; whether it works is for the caller to see."""
    with client(stack) as supervisor:
        try:
            supervisor.startProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if "ALREADY_STARTED" not in fault.faultString:
                raise StackError(f"{name} did not start: {fault.faultString}") from None


def processes(stack: Stack) -> list[dict[str, Any]]:
    """Each program as the supervisor sees it; an empty list when it does not run."""
    try:
        with client(stack) as supervisor:
            return list(supervisor.getAllProcessInfo())
    except CONNECTION_ERRORS:
        return []


def shut_down(stack: Stack) -> None:
    """Stop web and worker before what they lean on, then the supervisor itself."""
    try:
        with client(stack) as supervisor:
            running = {info["name"] for info in supervisor.getAllProcessInfo() if info["pid"]}
            for name in ("web", "worker", "pgbouncer", "postgres"):
                if name in running:
                    stop_program(supervisor, name)
            supervisor.shutdown()
    except CONNECTION_ERRORS:
        return
    wait_until_gone(stack)


def stop_program(supervisor: Any, name: str) -> None:
    try:
        supervisor.stopProcess(name)
    except xmlrpc.client.Fault as fault:
        if "NOT_RUNNING" not in fault.faultString:
            raise


def wait_until_gone(stack: Stack, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while is_running(stack) and time.monotonic() < deadline:
        time.sleep(0.05)


def tail(path: Path, lines: int = 20) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
