# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The roles to which a restored database gives rights: there before it is loaded, and let in as they were."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql

from . import members, postgres
from .postgres import Cluster
from .scratch import Names

_STEP = "Prepare the roles of members"
_MAY_CONNECT = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_database AS d, pg_catalog.aclexplode(d.datacl) AS a
                 JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee
                WHERE d.datname = %s AND r.rolname = %s AND a.privilege_type = 'CONNECT')
"""
_MISSING = """
SELECT wanted.name FROM pg_catalog.unnest(%s::text[]) AS wanted(name)
 WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = wanted.name)
"""


def create(cluster: Cluster, own: Names, manifest: Mapping[str, Any] | None) -> list[str]:
    """Make the roles that *manifest* names and that are not there, without login; the changes.

    databases.yml lets those in who are members, and drops the rest.
    """
    viewers = members.viewers(own.live)
    named = [own.live + str(suffix) for suffix in (manifest or {}).get("grantees", ())]
    wanted = [name for name in named if name == viewers or members.is_member_role(name, own.live)]
    if not wanted:
        return []
    try:
        with postgres.connect(cluster) as connection:
            missing = [str(row[0]) for row in connection.execute(_MISSING, [wanted]).fetchall()]
            for name in missing:
                connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(name)))
            if viewers in wanted:
                _let_in(connection, own, viewers)
    except psycopg.Error as error:
        raise postgres.explain(error, _STEP) from None
    return [f"Make the role {name}" for name in missing]


def carry_over(cluster: Cluster, own: Names) -> None:
    """Let the viewers into the new database if they are let into the live one. What they may read there, it says."""
    viewers = members.viewers(own.live)
    try:
        with postgres.connect(cluster) as connection:
            row = connection.execute(_MAY_CONNECT, [own.live, viewers]).fetchone()
            if row and row[0]:
                _let_in(connection, own, viewers)
    except psycopg.Error as error:
        raise postgres.explain(error, _STEP) from None


def _let_in(connection: psycopg.Connection, own: Names, viewers: str) -> None:
    names = sql.Identifier(own.new), sql.Identifier(viewers)
    connection.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(*names))
