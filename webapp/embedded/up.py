"""`dbhost up`: from whatever is there to a running stack. Each step looks first and does only what is missing."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from webapp.embedded import (
    access,
    control,
    hosts,
    keys,
    layout,
    packages,
    pgbouncer,
    playbooks,
    ports,
    processes,
    programs,
    supervisor,
    tls,
    users,
)
from webapp.embedded.environment import Stack, postgres_bin
from webapp.embedded.progress import Progress

if TYPE_CHECKING:
    from webapp.fleet import FleetHost


@dataclass(frozen=True)
class Started:
    """What a person wants to know once the stack runs. *admin_password* only when it was made now."""

    url: str
    pgbouncer: dict[str, Any]
    ca_file: str
    home: str
    admin_email: str
    admin_created: bool
    admin_password: str | None
    hosts: list[dict[str, str]]


def up(stack: Stack, environ: Mapping[str, str], progress: Progress, host_count: int = 0) -> Started:
    """Bring the stack up, with a fleet of *host_count* hosts. Killed anywhere, the next call goes on from there.

    Hosts that were made before come back too, whatever the count.
    """
    stack = ports.with_free_direct_port(layout.with_short_sockets(stack), environ)
    stack.home.mkdir(parents=True, exist_ok=True)
    with alone(stack, progress):
        count = max(host_count, len(hosts.known(stack)))
        fleet = hosts.up(stack, count, progress) if count else []
        prepare(stack, environ, progress)
        start_supervisor(stack, environ, progress)
        converge_host(stack, progress)
        converge_control_database(stack, progress)
        return start_control_plane(stack, environ, progress, fleet)


@contextmanager
def alone(stack: Stack, progress: Progress) -> Iterator[None]:
    """One `up` or `down` of a home at a time."""
    with (stack.home / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note("Another dbhost command works on this stack; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prepare(stack: Stack, environ: Mapping[str, str], progress: Progress) -> None:
    """Everything that must be on disk before a process can start."""
    if packages.missing_libraries():
        with progress.step("Install the system packages that are missing"):
            packages.install_missing()
    if packages.missing_for_extensions():
        with progress.step("Install the libraries that extensions need"):
            sentence = packages.provide_for_extensions()
        if sentence:
            progress.note(sentence)
    if stack.as_root and users.missing():
        with progress.step("Make the system users"):
            users.ensure()
    with progress.step("Prepare folders, secrets and certificates"):
        postgres_bin()
        layout.ensure(stack)
        keys.ensure(stack, environ)
        tls.ensure(stack)
        layout.record_settings(stack)
    for sentence in access.grant(stack):
        progress.note(sentence)
    pgbouncer.ensure(stack, environ, progress)


def start_supervisor(stack: Stack, environ: Mapping[str, str], progress: Progress) -> None:
    """Have a supervisor with today's configuration; processes that a dead one left behind are stopped first."""
    if supervisor.is_running(stack):
        ports.require_free(stack, running_programs(stack))
        if programs.write_configuration(stack, environ):
            with progress.step("Take over changed settings"):
                supervisor.reload_configuration(stack)
        return
    with progress.step("Start the supervisor"):
        processes.sweep(stack)
        ports.require_free(stack, frozenset())
        programs.write_configuration(stack, environ)
        supervisor.start(stack)


def running_programs(stack: Stack) -> frozenset[str]:
    return frozenset(info["name"] for info in supervisor.processes(stack) if info["pid"])


def converge_host(stack: Stack, progress: Progress) -> None:
    with progress.step("Converge PostgreSQL and PgBouncer (playbooks/host.yml)"):
        playbooks.run(stack, progress, "host", "root" if stack.as_root else stack.agent_user)


def converge_control_database(stack: Stack, progress: Progress) -> None:
    """Make the control database as the worker's OS user makes a tenant's, and migrate it.

    One that is there already is migrated while the playbook looks at it, which saves a second or two of each start.
    """
    if stack.external_database_url is not None:
        with progress.step("Migrate the control database"):
            control.migrate(stack)
        return
    with progress.step("Converge and migrate the control database"), ThreadPoolExecutor(1) as background:
        playbook = background.submit(playbooks.run, stack, progress, "control_plane", stack.agent_user)
        if not control.database_answers(stack):
            playbook.result()
        control.migrate(stack)
        playbook.result()


def start_control_plane(
    stack: Stack, environ: Mapping[str, str], progress: Progress, fleet: list[FleetHost]
) -> Started:
    with progress.step("Start the web app and the worker"):
        supervisor.start_program(stack, "watchdog")
        supervisor.start_program(stack, "reconnect")
        if stack.as_root:
            supervisor.start_program(stack, "dumps")
        supervisor.start_program(stack, "web")
        supervisor.start_program(stack, "worker")
        admin = control.ensure_admin(stack, environ)
        if fleet:
            hosts.register(stack, environ, fleet)
        control.wait_until_ready(stack)
    return Started(
        url=stack.url,
        pgbouncer={"host": stack.public_host, "port": stack.pgbouncer_port, "directPort": stack.direct_port},
        ca_file=str(stack.ca_file),
        home=str(stack.home),
        admin_email=admin["email"],
        admin_created=bool(admin["created"]),
        admin_password=admin.get("password") if admin["created"] else None,
        hosts=[{"name": host.name, "address": host.address} for host in fleet],
    )
