"""What runs have in common, done once in the fork server: inventories and playbooks parsed, all plugins loaded.

Each run that is forked afterwards finds the parsed ones, unless a file they were parsed from has changed since. Leans
on ansible-core's private API (2.21), which the tests hold against the plain command.
"""

import contextlib
import hashlib
import itertools
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from webapp.worker import environment, event_stream, single_process

PLAYBOOKS = ("databases", "report", "strangers", "backup", "backups", "restore", "backup_files", "activity")
FIRST_HOST = "database_hosts[0]"
NOWHERE = Path(__file__).with_name("rehearsal_hosts.yml")
MOST_KEPT = 32
NOTHING_TO_DO = {"changed": False, "databases": [], "changes": [], "differences": []}
# Read when a run begins: what is written there decides, not when it was written.
LARGEST_READ_BYTES = 1_000_000

type Key = tuple[Any, ...]


@dataclass(frozen=True)
class Sources:
    """What one command line is parsed from."""

    playbook: str
    inventories: tuple[str, ...]

    @classmethod
    def of(cls, arguments: list[str]) -> "Sources":
        """Of a command line as ansible-runner writes it: the playbook comes last."""
        pairs = itertools.pairwise(arguments)
        return cls(arguments[-1], tuple(value for option, value in pairs if option in ("-i", "--inventory")))

    def arguments(self, command: str) -> list[str]:
        """A command line that names these and no more."""
        return [command, *(word for source in self.inventories for word in ("-i", source)), self.playbook]

    def files(self) -> list[Path]:
        """All files that may be read while the playbook, its roles and the inventories are parsed."""
        checkout = Path(self.playbook).parents[1]
        tops = [Path(self.playbook).parent, checkout / "roles"]
        for source in map(Path, self.inventories):
            tops += [source] if source.is_dir() else [source, source.parent / "group_vars", source.parent / "host_vars"]
        below = (file for top in dict.fromkeys(tops) for file in (top.rglob("*") if top.is_dir() else [top]))
        return sorted(file for file in below if file.exists() and "__pycache__" not in file.parts)

    def key(self) -> Key:
        """Another one as soon as any of the files is another, or there is one more or one less."""
        kept = [Path(source) for source in self.inventories]
        return (self, *(_read(file) if file in kept else _state(file) for file in self.files()))

    def are_plain(self) -> bool:
        """Whether the inventories say the same each time: a program may not, nor may what a plugin makes."""
        return all(_is_plain(Path(source)) for source in self.inventories)


def _state(file: Path) -> tuple[str, int, int, int]:
    found = file.stat()
    return str(file), found.st_ino, found.st_size if file.is_file() else 0, found.st_mtime_ns if file.is_file() else 0


def _read(file: Path) -> tuple[str, str]:
    return str(file), hashlib.sha256(file.read_bytes()).hexdigest()


def _is_plain(inventory: Path) -> bool:
    files = [file for file in inventory.rglob("*") if file.is_file()] if inventory.is_dir() else [inventory]
    return all(_is_plain_file(file) for file in files)


def _is_plain_file(file: Path) -> bool:
    try:
        if os.access(file, os.X_OK) or file.stat().st_size > LARGEST_READ_BYTES:
            return False
        return not any(line.startswith("plugin:") for line in file.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        return False


@dataclass
class Prepared:
    """What is parsed already, by what it was parsed from. One for the fork server and each of its children."""

    parsed: dict[Key, tuple[Any, Any, Any, Any]] = field(default_factory=dict)

    def prepare(self, arguments: list[str]) -> None:
        """In the server: parse what this command line names, once. Nothing of its variables is read here."""
        sources = Sources.of(arguments)
        try:
            key = sources.key()
        except OSError:
            return
        if key in self.parsed or not sources.are_plain():
            return
        with _as_if_alone():
            command_line = _command_line(sources.arguments(arguments[0]))
            prerequisites = command_line._play_prereqs()
            loader, _inventory, variables = prerequisites
            self.parsed[key] = (*prerequisites, _playbook_class().load(sources.playbook, variables, loader))
        while len(self.parsed) > MOST_KEPT:
            del self.parsed[next(iter(self.parsed))]

    def use(self, arguments: list[str]) -> None:
        """In a child: let the run find what is parsed; where there is nothing it parses for itself."""
        _forget()
        sources = Sources.of(arguments)
        try:
            found = self.parsed.get(sources.key())
        except OSError:
            return
        if found is not None:
            _hand_out(sources.playbook, found)


def _hand_out(playbook: str, parsed: tuple[Any, Any, Any, Any]) -> None:
    from ansible.cli import CLI
    from ansible.utils.vars import load_extra_vars, load_options_vars

    loader, inventory, variables, book = parsed

    def prerequisites(_command_line: Any) -> tuple[Any, Any, Any]:
        variables._extra_vars = load_extra_vars(loader)
        variables._options_vars = load_options_vars(version)
        return loader, inventory, variables

    version = CLI.version_info(gitinfo=False)
    load = _playbook_class().load
    CLI._play_prereqs = prerequisites

    def load_once(file_name: str, variable_manager: Any = None, loader: Any = None) -> Any:
        ours = file_name == playbook and variable_manager is variables
        return book if ours else load(file_name, variable_manager=variable_manager, loader=loader)

    _playbook_class().load = staticmethod(load_once)


def _playbook_class() -> Any:
    from ansible.playbook import Playbook

    return Playbook


def _command_line(arguments: list[str]) -> Any:
    """Ansible's own reading of a command line, as the process's only one."""
    from ansible.cli.playbook import PlaybookCLI

    _forget()
    sys.argv = arguments
    command_line = PlaybookCLI(arguments)
    command_line.parse()
    return command_line


def _forget() -> None:
    """What Ansible keeps of the first command line that a process reads, and of what it has warned of."""
    from ansible.parsing.vault import VaultSecretsContext
    from ansible.plugins.vars import host_group_vars
    from ansible.utils.context_objects import GlobalCLIArgs
    from ansible.utils.display import Display
    from ansible.utils.vars import load_extra_vars, load_options_vars

    GlobalCLIArgs._Singleton__instance = None
    VaultSecretsContext._current = None
    load_extra_vars.extra_vars = load_options_vars.options_vars = None
    for remembered in (host_group_vars.FOUND, host_group_vars.NAK):
        remembered.clear()
    display = Display()
    for said in (display._warns, display._deprecations, display._errors):
        said.clear()


@contextlib.contextmanager
def _as_if_alone() -> Iterator[None]:
    """Keep from this process what a command line or a run does to the process it is in."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    argv, streams, variables, folder = sys.argv, (sys.stdout, sys.stderr), dict(os.environ), Path.cwd()
    with Path(os.devnull).open("w", encoding="utf-8") as nothing:
        sys.stdout = sys.stderr = nothing
        try:
            yield
        finally:
            sys.argv, (sys.stdout, sys.stderr) = argv, streams
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(variables)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            _forget()


def all_playbooks(prepared: Prepared, inventory: str) -> None:
    """Before the first run: play the main playbook, and parse all that are for tenants, with the configured inventory.

    What cannot be prepared is left to the runs, which say what is wrong with it.
    """
    command = environment.ansible_playbook()
    for hosts in (inventory, str(NOWHERE)):
        if _is_possible(partial(rehearse, command, str(environment.PLAYBOOK), hosts)):
            break
    for name in PLAYBOOKS:
        sources = Sources(str(environment.PLAYBOOKS / f"{name}.yml"), (inventory,))
        _is_possible(partial(prepared.prepare, sources.arguments(command)))


def _is_possible(prepare: Callable[[], None]) -> bool:
    """An inventory may have any fault, or no host yet: the runs meet it again, and tell it."""
    try:
        prepare()
    except Exception as error:  # noqa: BLE001  # whatever it is, the server is of use without
        print(f"A part of Ansible is not prepared: {type(error).__name__}", file=sys.stderr)
        return False
    return True


def rehearse(command: str, playbook: str, inventory: str) -> None:
    """Play *playbook* on the first host without any database and without a single module, for what it loads."""
    from ansible.plugins import loader as plugins
    from ansible.plugins.action import ActionBase

    for name in ("callback_loader", "connection_loader", "shell_loader", "become_loader"):
        list(getattr(plugins, name).all(class_only=True))
    extra = json.dumps({"tenant_databases": []})
    arguments = [command, "-i", inventory, "--limit", FIRST_HOST, "-e", extra, "--check", playbook]
    execute_module = ActionBase._execute_module
    ActionBase._execute_module = lambda *_arguments, **_options: dict(NOTHING_TO_DO)
    try:
        with _as_if_alone(), Path(os.devnull).open("wb") as nothing:
            event_stream.install(nothing.fileno())
            _command_line(arguments).run()
    finally:
        ActionBase._execute_module = execute_module
        sys.modules[event_stream.CALLBACK].event_context._global_ctx.clear()


def install() -> None:
    """In the server, before anything is played: what is played here is played as in its children."""
    single_process.install()
