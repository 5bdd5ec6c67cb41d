"""A whole embedded stack of its own for tests: started by `./dbhost up` as a new user would, purged at the end."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.support.servers import free_ports
from webapp.embedded.environment import postgres_bin

CHECKOUT = Path(__file__).parents[2]
PASSWORD = "correct horse battery staple"


def run(
    command: list[str], env: dict[str, str], *, check: bool = True, **more: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; what it printed is in the error when it fails."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, **more)
    if check and done.returncode != 0:
        raise AssertionError(f"{command} exited {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


@dataclass
class Stack:
    """One running installation, driven from outside by its command and its API alone."""

    home: Path
    ports: list[int] = field(default_factory=lambda: free_ports(4))
    settings: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def env(self) -> dict[str, str]:
        web, pgbouncer, postgres, direct = self.ports
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DBHOST_", "DATABASE_URL"))}
        return kept | {
            "DBHOST_HOME": str(self.home),
            "DBHOST_WEB_PORT": str(web),
            "DBHOST_PGBOUNCER_PORT": str(pgbouncer),
            "DBHOST_POSTGRES_PORT": str(postgres),
            "DBHOST_PGBOUNCER_DIRECT_PORT": str(direct),
            "DBHOST_CHANGE_RATE": "5000 per minute",
            "DBHOST_READ_RATE": "50000 per minute",
            "DBHOST_ADMIN_PASSWORD": PASSWORD,
            **self.settings,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports[0]}"

    def dbhost(
        self, *arguments: str, check: bool = True, timeout_s: float = 280, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        return run([str(CHECKOUT / "dbhost"), *arguments], self.env, check=check, timeout=timeout_s, **more)

    def up(self) -> None:
        self.dbhost("up", "--detach")

    def purge(self) -> None:
        self.dbhost("down", "--purge", "--yes")

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.dbhost("status", "--json").stdout)
        return status

    def pid(self, name: str) -> int:
        """The process whose name contains *name*."""
        return next(int(each["pid"]) for each in self.status()["processes"] if name in each["name"])

    def user(self, email: str, plan: str = "business") -> None:
        self.dbhost("user", "create", email, "--plan", plan, "--password-stdin", input=f"{PASSWORD}\n")

    def key(self, email: str, *options: str) -> str:
        return self.dbhost("api-key", "create", "--user", email, *options).stdout.strip()

    def client(self, key: str) -> httpx.Client:
        """An API client; the base URL ends in /api/v1."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=f"{self.url}/api/v1", headers=headers, timeout=60)

    @property
    def socket_dir(self) -> Path:
        """Where PostgreSQL's socket is: below the home, or in the short folder that `up` recorded."""
        outside = (*Path("/tmp").glob("dbhost-*/postgres"), *Path("/run").glob("dbhost-*/postgres"))
        for folder in (self.home / "run" / "postgres", *outside):
            if (folder / f".s.PGSQL.{self.ports[2]}").exists():
                return folder
        raise AssertionError("PostgreSQL's socket was not found")

    def provisioner(self) -> psycopg.Connection[Any]:
        """The provisioner's own way in (root and the agent's OS user are mapped to it)."""
        return psycopg.connect(
            host=str(self.socket_dir), port=self.ports[2], user="dbhost_provisioner", dbname="postgres", autocommit=True
        )

    def control(self) -> psycopg.Connection[Any]:
        """The control database, directly."""
        secret = (self.home / "secrets" / "control_password").read_text(encoding="utf-8").strip()
        return psycopg.connect(
            host="127.0.0.1", port=self.ports[2], user="dbhost-control", dbname="dbhost-control", password=secret,
            autocommit=True, prepare_threshold=None,
        )  # fmt: skip


@contextmanager
def running_stack(*users: str, settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """A stack with these users, purged at the end; *settings* of the environment come on top.

    Not below pytest's own folder: another pytest process closes that one to the stack's OS users again.
    """
    with tempfile.TemporaryDirectory(prefix="dbhost-stack-") as folder:
        stack = Stack(Path(folder) / "home", settings=settings or {})
        try:
            stack.up()
            for email in users:
                stack.user(email)
            yield stack
        finally:
            stack.purge()


def tool(name: str) -> tuple[str, dict[str, str]]:
    """A PostgreSQL client program and the environment it needs."""
    folder = postgres_bin()
    library = str(folder.parent / "lib")
    return str(folder / name), {
        "LD_LIBRARY_PATH": library,
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
    }


def psql(connection_string: str, *commands: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run SQL as a new user would: `psql "$connectionString" -c …`."""
    program, env = tool("psql")
    options = [part for command in commands for part in ("-c", command)]
    return run(
        [program, "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", connection_string, *options], env, check=check, timeout=60
    )
