"""Keeps Ansible imported and forks a process for each playbook run: starting one costs most of a second otherwise.

`python -m webapp.worker.fork_server SOCKET MODULE_CACHE INVENTORY`, under the worker. It ends when its standard
input does (the worker died) or when what it has imported no longer is what is on disk. It leans on ansible-core's
private API: pinned, and held against the plain command by tests.
"""

import gc
import json
import multiprocessing.process
import os
import selectors
import shutil
import socket
import sys
from pathlib import Path
from typing import Any, NoReturn

from webapp.worker import event_stream, in_process, preload, processes, rehearsal

# Ansible reads these when it is imported; a run with other values has to start the plain command.
READ_AT_IMPORT = ("ANSIBLE_", "LANG", "LC_", "PATH", "HOME", "NO_COLOR")
REQUEST_TIMEOUT_S = 2.0
PATIENCE_S = 5.0
EVENTS = 3  # the descriptor in a run's process


def relevant(environment: dict[str, str]) -> dict[str, str]:
    """The part of an environment that Ansible reads at import."""
    return {name: value for name, value in environment.items() if name.startswith(READ_AT_IMPORT)}


def state_of(path: str) -> tuple[int, int, int] | None:
    """Enough of a file's state to see that it was changed."""
    try:
        found = os.stat(path)  # noqa: PTH116  # each request asks, for a path that is a string
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


class ForkServer:
    """Answers on a unix socket; one thread, so that a fork copies nothing half done."""

    def __init__(self, path: str, module_cache: Path, prepared: rehearsal.Prepared) -> None:
        self.module_cache = module_cache
        self.prepared = prepared
        self.modules = packed_version()
        self.environment = relevant(dict(os.environ))
        self.configuration = os.environ.get("ANSIBLE_CONFIG", "")
        self.configured = state_of(self.configuration)
        self.selector = selectors.DefaultSelector()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(16)
        self.children: dict[int, socket.socket] = {}

    def serve(self) -> None:
        """Answer until standard input ends or the configuration changed, then end what still runs."""
        self.selector.register(sys.stdin.fileno(), selectors.EVENT_READ, self.leave)
        self.selector.register(self.listener, selectors.EVENT_READ, self.accept)
        print("ready", flush=True)
        try:
            while True:
                for key, _ in self.selector.select():
                    key.data(key.fileobj)
        except EOFError:
            self.end_children()

    def leave(self, _stdin: Any) -> NoReturn:
        """The worker is gone."""
        raise EOFError

    def accept(self, listener: socket.socket) -> None:
        """One request: fork for it, or decline by closing the connection."""
        connection, _ = listener.accept()
        connection.settimeout(REQUEST_TIMEOUT_S)
        try:
            request, descriptors = receive(connection)
        except (OSError, ValueError):
            connection.close()
            return
        if self.fits(request):
            self.fork(connection, request, descriptors)
        else:
            connection.close()
        for descriptor in descriptors:
            os.close(descriptor)
        if not self.is_current():
            raise EOFError
        self.prepared.prepare(request["arguments"])  # for the next one like it; this one is on its way

    def fits(self, request: dict[str, Any]) -> bool:
        """Whether Ansible, as it was imported here, would behave as if it were started now."""
        return self.is_current() and relevant(request["environment"]) == self.environment

    def is_current(self) -> bool:
        """Whether what was imported and what it is configured by still is what is on disk."""
        return state_of(self.configuration) == self.configured and packed_version() == self.modules

    def fork(self, connection: socket.socket, request: dict[str, Any], descriptors: list[int]) -> None:
        """Start the run in a child; its end comes through a pidfd."""
        pid = os.fork()
        if pid == 0:
            become(request, descriptors[0], self.module_cache, self.prepared)
        connection.sendall(f"{pid}\n".encode())
        watched = os.pidfd_open(pid)
        self.children[pid] = connection
        self.selector.register(watched, selectors.EVENT_READ, lambda descriptor: self.ended(descriptor, pid))
        self.selector.register(connection, selectors.EVENT_READ, lambda _connection: self.abandoned(pid))

    def ended(self, descriptor: int, pid: int) -> None:
        """The run has ended: tell who asked for it."""
        self.selector.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(pid, 0)
        connection = self.children.pop(pid)
        if connection.fileno() in self.selector.get_map():
            self.selector.unregister(connection)
        with connection:
            try:
                connection.sendall(f"{exit_code(status)}\n".encode())
            except OSError:
                return  # nobody waits for it

    def abandoned(self, pid: int) -> None:
        """Whoever asked has gone: end the run, nobody reads its result any more."""
        self.selector.unregister(self.children[pid])
        processes.end([pid], PATIENCE_S)

    def end_children(self) -> None:
        """Nothing outlives the server but what the host's own lock protects."""
        processes.end(self.children, PATIENCE_S)


def exit_code(status: int) -> int:
    """As a shell would say it."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """One request, with the descriptor that its events go to."""
    head, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
    size, _, body = head.partition(b"\n")
    while len(body) < int(size):
        more = connection.recv(65536)
        if not more:
            raise ValueError("the request was cut off")
        body += more
    if len(descriptors) != 1:
        raise ValueError("the request has no place for its events")
    return json.loads(body), list(descriptors)


def become(request: dict[str, Any], events: int, module_cache: Path, prepared: rehearsal.Prepared) -> NoReturn:
    """In the child: run the playbook, and tell of it in *events*. Never returns into the server."""
    code = 1
    try:
        os.setsid()
        keep_only(events)
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        stream = event_stream.install(EVENTS)
        stream.begin()
        prepared.use(request["arguments"])
        in_process.install()
        code = run_playbook(request["arguments"], module_cache)
        stream.end(code)
    finally:
        flush()
        remove_temporary_folder()
        os._exit(code)  # the server's exit handlers are not this child's to run


def keep_only(events: int) -> None:
    """Close all that is the server's. Nobody reads what a run prints: all that it tells is in its events."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(events, EVENTS)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.closerange(EVENTS + 1, 1024)
    sys.stdin = os.fdopen(0, "r", closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def flush() -> None:
    """Write out what is buffered."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            continue


def remove_temporary_folder() -> None:
    """Ansible's workers speak through a socket that multiprocessing would remove at an exit which does not come."""
    folder = multiprocessing.process.current_process()._config.get("tempdir")  # type: ignore[attr-defined]
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def run_playbook(arguments: list[str], module_cache: Path) -> int:
    """What the `ansible-playbook` command does, with a temporary folder of this run's own."""
    from ansible import constants
    from ansible.cli.playbook import PlaybookCLI

    constants.DEFAULT_LOCAL_TMP = own_temporary_folder(module_cache)
    sys.argv = arguments
    try:
        PlaybookCLI.cli_executor(arguments)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    return 0


def own_temporary_folder(module_cache: Path) -> str:
    """Beside the run's artifacts, so that it goes with them; packed modules are shared by all runs."""
    folder = Path(os.environ["DBHOST_RUN_PIDS"]).with_name("tmp")
    folder.mkdir(mode=0o700)
    shared = module_cache / packed_version()
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "ansiballz_cache").symlink_to(shared)
    return str(folder)


def packed_version() -> str:
    """Changes with every file that may be packed: a module that was edited must not be run as it was."""
    files = sorted(Path(os.environ["ANSIBLE_CONFIG"]).parent.glob("agent_modules/**/*.py"))
    return format(hash(tuple(state_of(str(file)) for file in files)) & 0xFFFFFFFFFFFFFFFF, "x")


def main() -> None:
    """Import everything once, play once, then serve."""
    path, module_cache, inventory = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    preload.ansible()
    in_process.preload()
    rehearsal.install()
    prepared = rehearsal.Prepared()
    rehearsal.all_playbooks(prepared, inventory)
    sys.path.remove(str(Path.cwd()))  # as the plain command has it
    gc.collect()
    gc.freeze()
    ForkServer(path, module_cache, prepared).serve()


if __name__ == "__main__":
    main()
