"""The supervisor of a stack: starting it, and speaking to it over its socket."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from webapp.embedded.environment import Stack, StackError, base_environment
from webapp.embedded.programs import MARK, POOLERS, configuration_file

CONNECTION_ERRORS = (OSError, xmlrpc.client.ProtocolError)


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
            stop_program(supervisor, name)
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
            for name in ("web", "worker", "dumps", "reconnect", "watchdog", *POOLERS, "postgres"):
                if name in running:
                    stop_program(supervisor, name)
            supervisor.shutdown()
    except CONNECTION_ERRORS:
        return
    wait_until_gone(stack)


def stop_program(supervisor: Any, name: str) -> None:
    """Stop it and see it gone. Not by the call that waits, for as long as which supervisord uses a whole processor."""
    try:
        supervisor.stopProcess(name, False)
    except xmlrpc.client.Fault as fault:
        if "NOT_RUNNING" not in fault.faultString:
            raise
    while supervisor.getProcessInfo(name)["pid"]:  # what does not listen is killed after its time to stop
        time.sleep(0.05)


def wait_until_gone(stack: Stack, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while is_running(stack) and time.monotonic() < deadline:
        time.sleep(0.05)


def tail(path: Path, lines: int = 12) -> str:
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 16384))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
