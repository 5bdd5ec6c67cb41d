"""What the playbook is told about a database: its desired state as it is now, and nothing of its owner."""

from typing import Any

from webapp.models import Database, Member, Operation

# A session keeps the way its transactions begin, so whoever is there when that changes is cut off once.
CUTTING = ("database.restart", "database.storage_limit")


def extra_vars(operations: list[Operation]) -> dict[str, Any]:
    """The extra vars of playbooks/databases.yml for these operations' databases."""
    return {"tenant_databases": [of_operation(operation) for operation in operations]}


def of_operation(operation: Operation) -> dict[str, Any]:
    """The database's entry, with what this operation asks for once."""
    once = {
        "disconnect": operation.kind in CUTTING,
        "repair_ownership": operation.kind == "database.repair_ownership",
    }
    return tenant_database(operation.database) | once


def tenant_database(database: Database) -> dict[str, Any]:
    """One entry of `tenant_databases`, as ARCHITECTURE.md and the role's argument spec name it."""
    wanted: dict[str, Any] = {
        "name": database.name,
        "generation": database.generation,
        "state": state(database),
        "connection_limit": database.connection_limit,
        "pool_size": database.pool_size,
        "direct_pool_size": database.direct_pool_size,
        "pool_mode": database.pool_mode,
        "members": [_member(member) for member in database.members if member.credential is not None],
        "read_only": database.storage_state != "open",
        "networks": [str(entry.cidr) for entry in database.allowlist],
    }
    if database.held_as is not None:
        wanted["held_as"] = database.held_as
    if database.desired_state != "absent":
        wanted["verifier"] = database.verifier
    return wanted


def state(database: Database) -> str:
    """What it should be on the host: shut for its growth, it is as if it were stopped."""
    shut = database.storage_state == "shut" and database.desired_state == "present"
    return "stopped" if shut else database.desired_state


def _member(member: Member) -> dict[str, Any]:
    role = member.credential
    return {"role": role.role, "level": member.level, "verifier": role.verifier} if role else {}
