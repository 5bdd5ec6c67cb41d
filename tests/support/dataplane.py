"""A throw-away data plane: PostgreSQL and PgBouncer under the rules of the roles' own templates."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import psycopg
import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from agent_modules.action.tenant_report import merge
from agent_modules.module_utils.dbhost import converging, installation, publishing, scram
from agent_modules.module_utils.dbhost.items import guarded, parse_all
from tests.support.servers import (
    TIMEOUT_S,
    fast_folder,
    free_ports,
    make_certificate,
    pgbouncer_executable,
    postgres_tool,
    wait_for,
)

CHECKOUT = Path(__file__).parents[2]
PROVISIONER = "dbhost_provisioner"
FAST = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nautovacuum = off\n"
FAST += "max_notify_queue_pages = 4096\n"  # 32 megabytes are soon full


class DataPlane:
    """One host as `playbooks/databases.yml` finds it. Started by root, all of it runs as `nobody`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dbhost-dp-", dir=fast_folder()))
        self.user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.dump_user = "daemon" if os.geteuid() == 0 else self.user
        self.postgres_port, self.pgbouncer_port, self.direct_port = free_ports(3)
        self.state_dir, self.config_dir = self.folder / "host", self.folder / "pgbouncer"
        self.socket_dir, self.console_dir = self.folder / "run", self.folder / "console"
        self.data_dir, self.ca = self.folder / "data", self.folder / "ca.crt"
        self.environment: dict[str, str] = {}  # what a run of a playbook finds besides
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Make all of it and wait until both answer."""
        for folder in (self.folder, self.state_dir, self.config_dir, self.socket_dir, self.console_dir):
            folder.mkdir(mode=0o700, exist_ok=True)
            self.own(folder)
        self.folder.chmod(0o755)
        self.socket_dir.chmod(0o755)
        self._start_postgres()
        make_certificate(self.ca, self.folder / "server.key")
        self._start_pgbouncer()

    def stop(self) -> None:
        """End both at once and remove every file."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGQUIT)
            process.wait(TIMEOUT_S)
        shutil.rmtree(self.folder)

    def own(self, path: Path) -> None:
        """Give *path* to the OS user of the data plane."""
        if os.geteuid() == 0:
            shutil.chown(path, self.user, pwd.getpwnam(self.user).pw_gid)

    def superuser(self, database: str = "postgres") -> psycopg.Connection:
        """A connection as the superuser over the socket, for looking at what no tenant sees."""
        return self.local("postgres", database)

    def local(self, role: str, database: str = "postgres") -> psycopg.Connection:
        """A connection over the socket, by peer."""
        return psycopg.connect(
            host=str(self.socket_dir), port=self.postgres_port, user=role, dbname=database, autocommit=True
        )

    def url(self, name: str, password: str, database: str | None = None, port: int | None = None) -> str:
        """The connection string that a tenant gets: PgBouncer, TLS verified, the pooled door unless *port* is said."""
        where = f"127.0.0.1:{port or self.pgbouncer_port}/{database or name}"
        return f"postgresql://{name}:{password}@{where}?sslmode=verify-full&sslrootcert={self.ca}&connect_timeout=5"

    def connect(
        self, name: str, password: str, database: str | None = None, *, port: int | None = None
    ) -> psycopg.Connection:
        """A tenant's own connection, as its program would make it."""
        return psycopg.connect(self.url(name, password, database, port), autocommit=True)

    def direct(self, name: str, password: str, database: str | None = None) -> psycopg.Connection:
        """A tenant's connection past PgBouncer, as somebody on the host might try."""
        return psycopg.connect(
            host="127.0.0.1", port=self.postgres_port, user=name, password=password, dbname=database or name
        )

    def variables(self) -> dict[str, Any]:
        """What the inventory says about this host."""
        return {
            "ansible_connection": "local",
            "ansible_python_interpreter": os.environ.get("DBHOST_TEST_PYTHON", "{{ ansible_playbook_python }}"),
            "dbhost_state_dir": str(self.state_dir),
            "postgres_socket_dir": str(self.socket_dir),
            "postgres_port": self.postgres_port,
            "pgbouncer_config_dir": str(self.config_dir),
            "pgbouncer_socket_dir": str(self.console_dir),
            "pgbouncer_executable": pgbouncer_executable(),
            "pgbouncer_port": self.pgbouncer_port,
            "pgbouncer_direct_port": self.direct_port,
            "pgbouncer_tls_cert_file": str(self.ca),
            "pgbouncer_tls_key_file": str(self.folder / "server.key"),
            "postgres_data_dir": str(self.data_dir),
            "postgres_bin_dir": str(Path(postgres_tool("pg_dump")).parent),
            "dbhost_dump_user": self.dump_user,
        }

    def inventory(self, *hosts: str) -> Path:
        """An inventory with this data plane as each of *hosts*."""
        path = self.folder / "inventory.yml"
        named = {host: self.variables() for host in hosts or ("db1",)}
        path.write_text(yaml.safe_dump({"database_hosts": {"hosts": named}}))
        return path

    def databases(self, *items: Mapping[str, Any], check: bool = False) -> list[dict[str, Any]]:
        """Converge roles and databases, by the code that the module runs."""
        target = converging.target({**self._options(), "socket_dir": str(self.socket_dir), "port": self.postgres_port})
        wanted, refused = parse_all([{"state": "present", **item} for item in items], allow_reserved=False)
        found = guarded(wanted, lambda: converging.run(self.state_dir, target, wanted, check=check))
        return [result.as_dict() for result in [*found, *refused]]

    def tenants(self, *items: Mapping[str, Any], check: bool = False) -> list[dict[str, Any]]:
        """Converge PgBouncer's entries, by the code that the module runs."""
        host = publishing.host({**self._options(), "socket_dir": str(self.console_dir), "listeners": self.listeners()})
        wanted, refused = parse_all([{"state": "present", **item} for item in items], allow_reserved=False)
        found = guarded(wanted, lambda: publishing.run(host, wanted, check=check).results)
        return [result.as_dict() for result in [*found, *refused]]

    def converge(self, *items: Mapping[str, Any], check: bool = False) -> list[dict[str, Any]]:
        """What the playbook does, in its order and without Ansible."""
        going = [item for item in items if item.get("state", "present") != "present"]
        closed = self.tenants(*going, check=check) if going else []
        made = self.databases(*items, check=check)
        failed = {result["name"] for result in made if result["error"]}
        ready = [item for item in items if item["name"] not in failed]
        return merge([*closed, *made, *self.tenants(*ready, check=check)])

    def listeners(self, role: str = "pgbouncer_tenants") -> list[dict[str, Any]]:
        """PgBouncer's processes as *role* lists them."""
        defaults = yaml.safe_load((CHECKOUT / "roles" / role / "defaults/main.yml").read_text())
        of_supervisor = {"dbhost_service_manager": "supervisor", "pgbouncer_tenants_reload_command": []}
        values = defaults | self.variables() | of_supervisor
        return [resolved(listener, values) for listener in defaults[f"{role}_listeners"]]

    def _options(self) -> dict[str, Any]:
        return {
            "provisioner": PROVISIONER,
            "login_host": "127.0.0.1",
            "executable": pgbouncer_executable(),
            "config_dir": str(self.config_dir),
            "state_dir": str(self.state_dir),
            "postgres_host": "127.0.0.1",
            "postgres_port": self.postgres_port,
        }

    def playbook(
        self, items: list[Mapping[str, Any]], *arguments: str, hosts: tuple[str, ...] = ("db1",)
    ) -> subprocess.CompletedProcess[str]:
        """Run playbooks/databases.yml as an operator does, with a file of tenants."""
        variables = self.folder / "tenants.yml"
        variables.write_text(yaml.safe_dump({"tenant_databases": items}))
        return self.run_playbook("databases.yml", *arguments, "-e", f"@{variables}", hosts=hosts)

    def run_playbook(
        self, name: str, *arguments: str, hosts: tuple[str, ...] = ("db1",)
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook on this data plane as an operator does."""
        command = [Path(sys.executable).parent / "ansible-playbook", f"playbooks/{name}", *arguments]
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        }
        return subprocess.run(
            [*command, "-i", self.inventory(*hosts)],
            cwd=CHECKOUT,
            env=environment | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def restart_pgbouncer(self) -> None:
        """End PgBouncer's processes and start them again, as a supervisor would."""
        for service in self.services():
            process = self.processes.pop(service)
            process.send_signal(signal.SIGQUIT)
            process.wait(TIMEOUT_S)
        self._start_pgbouncer()

    def services(self) -> list[str]:
        """The names of PgBouncer's processes; `pgbouncer` is the first of them."""
        return [listener["service"] for listener in self.listeners("pgbouncer")]

    def log(self, program: str) -> str:
        """What *program* has logged so far."""
        return (self.folder / f"{program}.log").read_text(errors="replace")

    def _start_postgres(self) -> None:
        initdb = [
            postgres_tool("initdb"),
            "-D",
            str(self.data_dir),
            "-U",
            "postgres",
            "--auth=reject",
            "--no-sync",
            "-E",
            "UTF8",
        ]
        initdb += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-locale"]
        subprocess.run(initdb, check=True, capture_output=True, **self._as_user())
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            (self.data_dir / name).write_text(self._rendered("postgres", name))
        self._append("postgresql.conf", FAST)
        self._append("pg_ident.conf", "superuser root postgres\n")  # for looking, and nothing else
        self._spawn("postgres", [postgres_tool("postgres"), "-D", str(self.data_dir)])
        wait_for(lambda: self.superuser().close(), psycopg.OperationalError)
        with self.superuser() as connection:
            for change in installation.changes(installation.observe(connection, PROVISIONER), PROVISIONER, 0):
                connection.execute(change)
            installation.prepare_databases(connection, PROVISIONER, self.superuser, check=False)

    def _start_pgbouncer(self) -> None:
        listeners = self.listeners("pgbouncer")
        present = [*(listener["databases_file"] for listener in listeners), "hba.conf", "userlist.txt"]
        for name in present:
            if not (self.config_dir / name).exists():
                (self.config_dir / name).touch(0o640)
                self.own(self.config_dir / name)
        self.own(self.folder / "server.key")
        for listener in listeners:
            ini, port = self.config_dir / listener["ini"], listener["port"]
            ini.write_text(self._rendered("pgbouncer", "pgbouncer.ini", listener=listener))
            self.own(ini)
            self._spawn(listener["service"], [pgbouncer_executable(), str(ini)])
            wait_for(lambda port=port: socket.create_connection(("127.0.0.1", port)).close(), ConnectionError)  # type: ignore[misc]

    def _append(self, name: str, text: str) -> None:
        with (self.data_dir / name).open("a") as file:
            file.write(text)

    def _rendered(self, role: str, name: str, **more: Any) -> str:
        folder = CHECKOUT / "roles" / role
        defaults = yaml.safe_load((folder / "defaults/main.yml").read_text())
        values = (
            defaults
            | self.variables()
            | more
            | {
                "ansible_managed": "test",
                "dbhost_service_manager": "supervisor",
                "postgres_shared_buffers_mb": 128,  # the defaults size it by expressions
                "postgres_maintenance_work_mem_mb": 64,
                "postgres_max_wal_size_mb": 1024,
                "postgres_max_connections": 400,
                "postgres_os_user": self.user,
                "postgres_provisioner_os_users": sorted({self.user, "root"}),
                "postgres_tenant_os_users": [self.dump_user],
                "postgres_watcher_os_user": self.user,
            }
        )
        loader = jinja2.FileSystemLoader(folder / "templates")
        environment = jinja2.Environment(
            loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=jinja2.select_autoescape()
        )
        return environment.get_template(f"{name}.j2").render(values) + "\n"

    def _spawn(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, **self._as_user())

    def _as_user(self) -> dict[str, Any]:
        library = str(Path(postgres_tool("postgres")).parents[1] / "lib")
        arguments: dict[str, Any] = {"env": {"LD_LIBRARY_PATH": library, "LC_ALL": "C.UTF-8"}, "cwd": self.folder}
        if os.geteuid() == 0:
            account = pwd.getpwnam(self.user)
            arguments |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        return arguments


def resolved(listener: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of a role's list with the expressions in it carried out, as Ansible does."""
    environment = NativeEnvironment(undefined=jinja2.StrictUndefined)

    def carried_out(value: Any) -> Any:
        while isinstance(value, str) and "{{" in value:
            value = environment.from_string(value).render(values)
        return value

    return {key: carried_out(value) for key, value in listener.items()}


def verifier(password: str) -> str:
    """What travels instead of *password*."""
    return scram.build(password.encode(), os.urandom(16))


def signalled_at(plane: DataPlane, database: str) -> object:
    """When a database's schema changed last, as `dbhost-reconnect` sees it."""
    with plane.superuser() as connection:
        query = "SELECT stats_reset FROM pg_stat_database WHERE datname = %s"
        return connection.execute(query, [database]).fetchall()[0][0]


@contextlib.contextmanager
def running() -> Iterator[DataPlane]:
    """A data plane for as long as the block lasts."""
    plane = DataPlane()
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


@pytest.fixture(scope="session")
def dataplane() -> Iterator[DataPlane]:
    """One data plane for all tests of a process; each test uses names of its own."""
    with running() as plane:
        yield plane
