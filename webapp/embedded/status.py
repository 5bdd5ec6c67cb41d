"""`dbhost status`: the stack's addresses and processes."""

from __future__ import annotations

from typing import Any

from webapp.embedded import hosts, layout, programs, supervisor
from webapp.embedded.environment import Stack


def status(stack: Stack) -> dict[str, Any]:
    """The fixed form of `status --json`; `hosts` is empty without a fleet. A program that does not run has no pid."""
    stack = layout.with_short_sockets(stack)
    known = {info["name"]: info for info in supervisor.processes(stack)}
    return {
        "url": stack.url,
        "pgbouncer": {"host": stack.public_host, "port": stack.pgbouncer_port, "directPort": stack.direct_port},
        "processes": [process(name, known.get(name)) for name in programs.names(stack)],
        "hosts": hosts.status(stack),
    }


def process(name: str, info: dict[str, Any] | None) -> dict[str, Any]:
    if info is None:
        return {"name": name, "pid": None, "state": "stopped"}
    return {"name": name, "pid": info["pid"] or None, "state": info["statename"].lower()}


def is_up(told: dict[str, Any]) -> bool:
    return all(part["state"] == "running" for part in [*told["processes"], *told["hosts"]])


def text(told: dict[str, Any]) -> str:
    rows = [f"  {row['name']:<16} {row['state']:<9} {row['pid'] or ''}".rstrip() for row in told["processes"]]
    rows += [f"  {row['name']:<16} {row['state']:<9} {row['address']}" for row in told["hosts"]]
    pooler = told["pgbouncer"]
    where = f"PgBouncer {pooler['host']}:{pooler['port']}, direct {pooler['directPort']}"
    return "\n".join([f"{told['url']}   {where}", *rows])
