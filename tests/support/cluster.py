"""A throw-away PostgreSQL cluster of the tests' own, on a unix socket that only its owner reaches."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
from psycopg import sql

from tests.support.servers import TIMEOUT_S, fast_folder
from webapp.embedded.environment import postgres_bin

SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_connections": "100",
    "autovacuum": "off",
}


def cluster_user() -> str | None:
    """The OS user to run PostgreSQL as, which refuses root; None: the current one."""
    return "nobody" if os.geteuid() == 0 else None


class Cluster:
    """One cluster with the superuser `postgres`, made by `start()` and removed by `stop()`."""

    def __init__(self, **settings: str) -> None:
        self.settings = SETTINGS | settings
        self.folder = Path(tempfile.mkdtemp(prefix="dbhost-pg-", dir=fast_folder()))
        self.user = cluster_user()
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def url(self, database: str = "postgres", **options: str) -> str:
        """A libpq URL of *database*, over the unix socket."""
        extra = "".join(f"&{key}={value}" for key, value in options.items())
        return f"postgresql:///{database}?host={self.folder}&user=postgres{extra}"

    def start(self) -> None:
        """Make the cluster, start it and wait until it answers."""
        if self.user:
            shutil.chown(self.folder, self.user)
        data = self.folder / "data"
        self._run(
            "initdb",
            "-D",
            str(data),
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--no-locale",
        )
        options = [part for key, value in self.settings.items() for part in ("-c", f"{key}={value}")]
        self.process = self._spawn("postgres", "-D", str(data), "-k", str(self.folder), *options)
        self._wait()

    def stop(self) -> None:
        """End the cluster at once and remove its files."""
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(TIMEOUT_S)
        shutil.rmtree(self.folder)

    def execute(self, statement: sql.Composed | sql.SQL) -> None:
        """Run one statement outside a transaction as the superuser."""
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def create_database(self, name: str, template: str = "template0") -> str:
        """Copy *template* to a new database and return its URL.

        By its files: through the log, the default, costs five times as much of processor and disk.
        """
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, cutting whoever is connected."""
        self.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _arguments(self) -> dict[str, Any]:
        tools = postgres_bin()
        environment = {"LD_LIBRARY_PATH": str(tools.parent / "lib"), "LC_ALL": "C.UTF-8", "PATH": os.environ["PATH"]}
        arguments: dict[str, Any] = {"env": environment, "cwd": self.folder}
        if self.user:
            account = pwd.getpwnam(self.user)
            arguments |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        return arguments

    def _run(self, tool: str, *parts: str) -> None:
        command = [str(postgres_bin() / tool), *parts]
        subprocess.run(command, check=True, capture_output=True, **self._arguments())

    def _spawn(self, tool: str, *parts: str) -> subprocess.Popen[bytes]:
        command = [str(postgres_bin() / tool), *parts]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, **self._arguments())

    def _wait(self) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
