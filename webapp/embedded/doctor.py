"""`dbhost doctor`: look at everything the stack needs, and say what to do about what is wrong."""

from __future__ import annotations

import datetime
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
from cryptography import x509

from webapp.embedded import (
    access,
    control,
    layout,
    packages,
    pgbouncer,
    ports,
    processes,
    status,
    supervisor,
    tls,
    users,
)
from webapp.embedded.environment import Stack, StackError, postgres_bin

DISK_WARN_BYTES = 1024**3


@dataclass(frozen=True)
class Finding:
    """One thing looked at. *advice* is what to do when it is not well."""

    check: str
    well: bool
    found: str
    advice: str = ""


def examine(stack: Stack) -> Iterator[Finding]:
    """Every check in turn; one that needs a running stack says so instead of failing half a dozen times over."""
    stack = layout.with_short_sockets(stack)
    for check in (python, libraries, extensions, poolers, disk, os_users):
        yield check(stack)
    if not stack.secret("secret_key").exists():
        yield Finding("stack", False, f"none in {stack.home}", "run ./dbhost up")
        return
    yield certificate(stack)
    if not supervisor.is_running(stack):
        yield stopped(stack)
        return
    yield from (programs(stack), ready(stack), web_can_log_in(stack), worker(stack), queue(stack))


def python(_stack: Stack) -> Finding:
    return Finding("python", True, f"{sys.version.split()[0]} ({sys.executable})")


def libraries(_stack: Stack) -> Finding:
    missing = packages.missing_libraries()
    found = ", ".join(missing) + " missing" if missing else f"PostgreSQL in {postgres_bin().parent.name}"
    return Finding("libraries", not missing, found, "run ./dbhost up as root once, or install them")


def extensions(_stack: Stack) -> Finding:
    missing = packages.missing_for_extensions()
    found = f"{', '.join(missing)} missing, which uuid-ossp needs" if missing else "all can be created"
    return Finding("extensions", not missing, found, "run ./dbhost up as root once, or install the library")


def poolers(stack: Stack) -> Finding:
    found = pgbouncer.version(stack.pgbouncer_executable)
    told = ".".join(map(str, found)) if found else "not there yet"
    return Finding(
        "pgbouncer", (found or (0,)) >= pgbouncer.FLOOR, told, "run ./dbhost up, or set DBHOST_PGBOUNCER_BIN"
    )


def disk(stack: Stack) -> Finding:
    existing = next(path for path in (stack.home, *stack.home.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    return Finding("disk", free > DISK_WARN_BYTES, f"{free / 1024**3:.1f} GiB free", f"free some space on {existing}")


def os_users(stack: Stack) -> Finding:
    if not stack.as_root:
        return Finding("users", True, f"all processes run as {stack.agent_user}")
    missing = users.missing()
    if missing:
        return Finding("users", False, f"{', '.join(missing)} missing", "run ./dbhost up")
    try:
        access.require_python(stack)
    except StackError as error:
        return Finding("users", False, str(error), "then run ./dbhost up")
    return Finding("users", True, ", ".join(users.USERS))


def certificate(stack: Stack) -> Finding:
    path = stack.home / "tls" / "server.crt"
    if not tls.is_current(path.parent, tls.names(stack)):
        return Finding(
            "certificate", False, "missing, near its end, or for other names", "run ./dbhost up: it makes a new one"
        )
    ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    return Finding("certificate", True, f"good for {(ends - datetime.datetime.now(datetime.UTC)).days} days")


def stopped(stack: Stack) -> Finding:
    left = processes.of_stack(stack)
    if left:
        return Finding(
            "stack", False, f"the supervisor is gone, {len(left)} processes are left", "run ./dbhost up, or down"
        )
    try:
        ports.require_free(stack, frozenset())
    except StackError as error:
        return Finding("stack", False, "not running", str(error))
    return Finding("stack", False, "not running; its ports are free", "run ./dbhost up")


def programs(stack: Stack) -> Finding:
    wrong = [row["name"] for row in status.status(stack)["processes"] if row["state"] != "running"]
    found = f"{', '.join(wrong)} not running" if wrong else "all running"
    return Finding("programs", not wrong, found, f"see ./dbhost logs {wrong[0] if wrong else ''}, then ./dbhost up")


def ready(stack: Stack) -> Finding:
    well = control.is_ready(stack)
    return Finding(
        "web", well, f"{stack.url}/readyz {'answers' if well else 'does not answer 200'}", "see ./dbhost logs web"
    )


def web_can_log_in(stack: Stack) -> Finding:
    """The way a client goes: TLS with the certificate checked, SCRAM through PgBouncer."""
    return query(
        stack, "login", "web_database_url", "SELECT 'through PgBouncer with TLS verified'", lambda row: bool(row)
    )


def worker(stack: Stack) -> Finding:
    alive = "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - interval '1 minute'"
    return query(stack, "worker", "worker_database_url", alive, lambda row: int(str(row)) > 0)


def queue(stack: Stack) -> Finding:
    waiting = "SELECT count(*) FROM operations WHERE state = 'queued' AND created_at < now() - interval '5 minutes'"
    return query(stack, "queue", "worker_database_url", waiting, lambda row: int(str(row)) == 0)


def query(stack: Stack, check: str, secret: str, statement: str, is_well: Callable[[object], bool]) -> Finding:
    try:
        with psycopg.connect(stack.secret(secret).read_text().strip(), connect_timeout=5) as connection:
            row = connection.execute(statement.encode()).fetchone()
    except (psycopg.Error, OSError) as error:
        return Finding(check, False, " ".join(str(error).split()), "see ./dbhost logs pgbouncer and logs postgres")
    value = row[0] if row else None
    return Finding(
        check, is_well(value), f"{check}: {value}", f"see ./dbhost logs {check if check == 'worker' else 'worker'}"
    )


def text(findings: list[Finding]) -> str:
    lines = []
    for finding in findings:
        lines.append(f"{'ok   ' if finding.well else 'WRONG'} {finding.check:<12} {finding.found}")
        if not finding.well and finding.advice:
            lines.append(f"{'':<18} → {finding.advice}")
    return "\n".join(lines)
