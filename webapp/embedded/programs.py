"""The supervised programs of a stack, and the supervisor's configuration made of them."""

from __future__ import annotations

import re
import resource
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

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
POOLER_MEMORY_MB = 1024
# As the listeners of role pgbouncer: each program with the name of its configuration file.
POOLERS = {"pgbouncer": "pgbouncer.ini", "pgbouncer-direct": "direct.ini"}


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


def names(stack: Stack) -> list[str]:
    """The programs that a running stack has, in the order in which they start."""
    return ["postgres", *POOLERS, "watchdog", "reconnect", *(["dumps"] if stack.as_root else []), "web", "worker"]


def dumps(stack: Stack) -> Program:
    """What the agent asks to run pg_dump and psql; an ordinary user's agent is the OS user of dumps itself."""
    script = CHECKOUT / "agent_modules" / "module_utils" / "dbhost" / "dump_programs.py"
    command = [sys.executable, "-I", str(script), "--bin-dir", str(postgres_bin())]
    command += ["--listen", str(stack.dump_socket), "--allow", stack.agent_user]
    return Program("dumps", command, stack.dump_user, Path("/"), "TERM", 10)


def pooler(stack: Stack, name: str, ini: str) -> Program:
    """One PgBouncer. SIGTERM means another thing before PgBouncer 1.23 than after; SIGINT and SIGQUIT do not."""
    folder = stack.home / "pgbouncer"
    # SIGINT would wait for the clients: a session at the direct door stays as long as it likes.
    stop_signal = "INT" if name == "pgbouncer" else "QUIT"
    command = limited([str(stack.pgbouncer_executable), str(folder / ini)], POOLER_MEMORY_MB)
    return Program(name, command, stack.agent_user, folder, stop_signal, 10)


def limited(command: list[str], memory_mb: int) -> list[str]:
    """With so much memory at most, as systemd would see to; what clients prepare has no other bound."""
    prlimit = shutil.which("prlimit")
    return [prlimit, f"--as={memory_mb * 2**20}", "--", *command] if prlimit else command


def watchdog(stack: Stack) -> Program:
    """What ends the sessions that take what all tenants share; its role's program, as on a host."""
    command = [sys.executable, "-I", str(CHECKOUT / "roles" / "postgres" / "files" / "watchdog.py")]
    command += ["--socket-dir", str(stack.socket_dir / "postgres"), "--port", str(stack.postgres_port)]
    return Program("watchdog", [*command, "--user", "dbhost_provisioner"], stack.agent_user, Path("/"), "TERM", 10)


def reconnect(stack: Stack) -> Program:
    """What has the pooled door open new server connections where a schema changed; its role's program, as on a host."""
    command = [sys.executable, "-I", str(CHECKOUT / "roles" / "pgbouncer" / "files" / "reconnect.py")]
    command += ["--socket-dir", str(stack.socket_dir / "postgres"), "--port", str(stack.postgres_port)]
    command += ["--console-dir", str(stack.socket_dir / "pgbouncer"), "--console-port", str(stack.pgbouncer_port)]
    return Program("reconnect", command, stack.agent_user, Path("/"), "TERM", 10)


def programs(stack: Stack, environ: Mapping[str, str]) -> list[Program]:
    python = sys.executable
    data = stack.home / "postgres" / "data"
    return [
        Program("postgres", [str(postgres_bin() / "postgres"), "-D", str(data)], stack.postgres_user, data, "INT", 60),
        *(pooler(stack, name, ini) for name, ini in POOLERS.items()),
        Program(
            "web", [python, "-m", "webapp.serve"], stack.web_user, CHECKOUT, "TERM", 15, web_environment(stack, environ)
        ),
        Program(
            "worker",
            [python, "-m", "webapp.worker"],
            stack.agent_user,
            CHECKOUT,
            "TERM",
            30,
            worker_environment(stack, environ),
        ),
        *([dumps(stack)] if stack.as_root else []),
        watchdog(stack),
        reconnect(stack),
    ]


def configuration(stack: Stack, environ: Mapping[str, str]) -> str:
    """The whole of supervisord.conf. Nothing starts by itself: `up` starts each when what it needs is there."""
    logs, own = stack.home / "logs", stack.home / "supervisor"
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = FILE_LIMIT if hard_limit == resource.RLIM_INFINITY else min(FILE_LIMIT, hard_limit)
    sections: dict[str, dict[str, object]] = {
        "unix_http_server": {"file": stack.supervisor_socket, "chmod": "0700"},
        "supervisord": {
            "logfile": logs / "supervisord.log",
            "pidfile": own / "supervisord.pid",
            "directory": stack.home,
            "childlogdir": logs,
            "umask": "027",
            "minfds": files,
            **({"user": "root"} if stack.as_root else {}),
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"
        },
        "supervisorctl": {"serverurl": f"unix://{stack.supervisor_socket}"},
    }
    for program in programs(stack, environ):
        sections[f"program:{program.name}"] = program_section(stack, program)
    return "\n".join(section(name, options) for name, options in sections.items())


def section(name: str, options: Mapping[str, object]) -> str:
    return "\n".join([f"[{name}]", *(f"{key}={value}" for key, value in options.items()), ""])


def program_section(stack: Stack, program: Program) -> dict[str, object]:
    environment = {**base_environment(stack.home / "run"), **program.environment, MARK: str(stack.home)}
    options: dict[str, object] = {
        "command": escape(shlex.join(die_with_supervisor(program))),
        "directory": escape(str(program.directory)),
        "environment": ",".join(f"{key}={quoted(key, value)}" for key, value in sorted(environment.items())),
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
    """The kernel stops the process when its supervisor dies; where setpriv is missing, the next `up` or `down` does."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", program.stop_signal, "--", *program.command] if setpriv else program.command


def escape(text: str) -> str:
    """supervisord expands %(name)s in every value."""
    return text.replace("%", "%%")


def quoted(name: str, value: str) -> str:
    """supervisord takes one kind of quotes and no escapes, strips quotes at the ends, and cuts at ` ;` and ` #`."""
    both_kinds = "'" in value and '"' in value
    if both_kinds or "\n" in value or value.strip("'\"") != value or re.search(r"\s[;#]", value):
        raise StackError(
            f"{name} cannot be passed on: it must be one line, without quotes of both kinds or at its ends, "
            "and without a blank before ; or #."
        )
    mark = "'" if '"' in value else '"'
    return mark + escape(value) + mark


def write_configuration(stack: Stack, environ: Mapping[str, str]) -> bool:
    root = "root" if stack.as_root else stack.agent_user
    return layout.write_file(stack, configuration_file(stack), configuration(stack, environ), root, 0o600)


def configuration_file(stack: Stack) -> Path:
    return stack.home / "supervisor" / "supervisord.conf"
