# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's PostgreSQL and PgBouncer say of themselves and of tenant databases; nothing of what is inside one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from . import certificate, journal, machine, pgbouncer_console, postgres
from .errors import TenantError
from .pgbouncer_console import Rows, moment

# Whoever owns a database may ask for its size; the provisioner owns those of tenants, and needs no right for it.
_DATABASES = """
SELECT d.datname::text AS name,
       pg_catalog.pg_database_size(d.oid) AS size_bytes,
       s.numbackends AS server_connections,
       s.xact_commit AS commits,
       s.xact_rollback AS rollbacks,
       s.blks_hit AS blocks_hit,
       s.blks_read AS blocks_read,
       s.deadlocks,
       s.temp_bytes
  FROM pg_catalog.pg_database AS d
  JOIN pg_catalog.pg_stat_database AS s ON s.datid = d.oid
  JOIN pg_catalog.pg_roles AS me ON me.rolname = current_user AND d.datdba = me.oid
 WHERE NOT d.datistemplate AND d.datconnlimit <> -2
 ORDER BY 1
"""
_CLUSTER = """
SELECT pg_catalog.current_setting('server_version') AS version,
       pg_catalog.current_setting('max_connections')::int AS max_connections,
       (SELECT pg_catalog.sum(numbackends) FROM pg_catalog.pg_stat_database)::int AS connections,
       pg_catalog.to_char(pg_catalog.pg_postmaster_start_time() AT TIME ZONE 'UTC',
                          'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS started_at
"""


@dataclass(frozen=True)
class Host:
    """Where to look."""

    cluster: postgres.Cluster
    data_dir: str
    wal_dir: str
    pgbouncer_socket_dir: str
    pgbouncer_port: int
    pgbouncer_direct_port: int | None = None
    pgbouncer_figures_command: Sequence[str] = ()
    certificate_problem_file: str | None = None
    certificate_files: Sequence[str] = ()
    journal_dir: str | None = None
    journal_after: int = 0


def report(host: Host) -> dict[str, Any]:
    """The whole report. A part that cannot be had is None, and `problems` says why; the others are there."""
    problems: list[dict[str, str]] = []

    def part(name: str, look: Callable[[], Any]) -> Any:
        try:
            return look()
        except TenantError as error:
            problems.append({"part": name, "message": error.message})
        except psycopg.Error as error:
            problems.append({"part": name, "message": f"It does not answer ({type(error).__name__})."})
        except (OSError, ValueError, KeyError) as error:
            problems.append({"part": name, "message": f"It cannot be read ({type(error).__name__})."})
        return None

    cluster = part("postgres", lambda: _cluster(host.cluster))
    pooler = part("pgbouncer", lambda: _pgbouncer(host))
    served = part("certificate", lambda: certificate.lifetime("127.0.0.1", host.pgbouncer_port))
    if pooler and host.pgbouncer_direct_port and not pooler["direct"]:
        problems.append({"part": "pgbouncer", "message": "Its direct door does not answer."})
    problems += _renewal(host.certificate_problem_file) or _on_disk(host.certificate_files)
    return {
        "sampled_at": _utc(datetime.now(UTC)),
        "system": machine.system(),
        "disks": part("disk", lambda: [machine.disk("data", host.data_dir), machine.disk("wal", host.wal_dir)]),
        "memory": part("memory", machine.memory),
        "load": part("load", machine.load),
        "certificate_begins_at": served and _utc(served[0]),
        "certificate_expires_at": served and _utc(served[1]),
        "postgres": cluster and cluster["server"],
        "pgbouncer": pooler and pooler["server"],
        "pgbouncer_direct": pooler and pooler["direct"],
        "databases": _merge(cluster["databases"], pooler["databases"] if pooler else {}) if cluster else None,
        "journal": part("journal", lambda: _journal(host)),
        "problems": problems,
    }


def _cluster(cluster: postgres.Cluster) -> dict[str, Any]:
    with postgres.connect(cluster) as connection, connection.cursor(row_factory=dict_row) as cursor:
        [server] = cursor.execute(_CLUSTER).fetchall()
        return {"server": server, "databases": cursor.execute(_DATABASES).fetchall()}


def _pgbouncer(host: Host) -> dict[str, Any]:
    """The figures of both doors; of a database those of both together, and how many clients are at the direct one."""
    ports = [host.pgbouncer_port, *([host.pgbouncer_direct_port] if host.pgbouncer_direct_port else [])]
    shown = pgbouncer_console.figures(host.pgbouncer_socket_dir, ports, host.pgbouncer_figures_command)
    every = list(shown.values())
    found = databases(*([row for one in every for row in one[topic]] for topic in ("POOLS", "CLIENTS", "STATS")))
    direct = shown.get(host.pgbouncer_direct_port or 0)
    for row in direct["POOLS"] if direct else ():
        if row["database"] in found:
            found[row["database"]]["direct_clients"] += int(row["cl_active"])
    return {"server": _server(shown[ports[0]]), "direct": direct and _server(direct), "databases": found}


def _server(shown: Mapping[str, Any]) -> dict[str, Any]:
    found = databases(shown["POOLS"], shown["CLIENTS"], shown["STATS"])
    settings = {row["key"]: row["value"] for row in shown["CONFIG"]}
    return {
        "version": shown["version"],
        "max_clients": int(settings["max_client_conn"]),
        "clients_active": sum(row["clients_active"] for row in found.values()),
        "clients_waiting": sum(row["clients_waiting"] for row in found.values()),
        "longest_wait_s": max((int(row["maxwait"]) for row in shown["POOLS"]), default=0),
    }


def databases(pools: Rows, clients: Rows, stats: Rows) -> dict[str, dict[str, Any]]:
    """PgBouncer's rows by database. Of its clients only when the newest came is kept, neither who nor from where."""
    found: dict[str, dict[str, Any]] = {row["database"]: _unused() for row in stats if row["database"] != "pgbouncer"}
    for row in stats:
        if row["database"] in found:
            found[row["database"]]["transactions"] += int(row["total_xact_count"])
    for row in pools:
        if row["database"] in found:
            found[row["database"]]["clients_active"] += int(row["cl_active"])
            found[row["database"]]["clients_waiting"] += int(row["cl_waiting"])
    for row in clients:
        if row["database"] in found:
            entry, came = found[row["database"]], moment(str(row["connect_time"]))
            entry["last_connection"] = max(entry["last_connection"] or 0, came)
    return found


def _journal(host: Host) -> dict[str, Any] | None:
    """What people changed by playbook since the last report."""
    return journal.read(Path(host.journal_dir), host.journal_after) if host.journal_dir else None


def _unused() -> dict[str, Any]:
    counted = ("clients_active", "clients_waiting", "direct_clients", "transactions")
    return {**dict.fromkeys(counted, 0), "last_connection": None}


def _merge(sizes: Rows, pooled: Mapping[str, Mapping[str, Any]]) -> Rows:
    merged = []
    for row in sizes:
        entry = {**row, **pooled.get(row["name"], _unused())}
        came = entry.pop("last_connection")
        entry["last_connection_at"] = came and _utc(datetime.fromtimestamp(came, UTC))
        merged.append(entry)
    return merged


def _renewal(problem_file: str | None) -> list[dict[str, str]]:
    """Why a renewed certificate is not shown, as the program that takes it over left it in *problem_file*."""
    try:
        said = Path(problem_file or "").read_text(encoding="utf-8") if problem_file else ""
    except OSError:
        return []
    return [{"part": "certificate", "message": said.strip()}] if said.strip() else []


def _on_disk(files: Sequence[str]) -> list[dict[str, str]]:
    said = certificate.fault_on_disk(*files) if files else None
    return [{"part": "certificate", "message": said}] if said else []


def _utc(moment_: datetime) -> str:
    return moment_.strftime("%Y-%m-%dT%H:%M:%SZ")
