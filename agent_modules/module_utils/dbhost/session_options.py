# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a session of dumps begins with: nothing that a tenant has set for its role changes what it does.

Settings given at login come before those of roles. So each parameter that somebody has set there is given the
cluster's own value, and those that dumps depend on get theirs. Parameters of an application (`app.tenant`) stay:
no part of PostgreSQL reads them, and the tenant's functions may.
"""

from __future__ import annotations

from collections.abc import Mapping

import psycopg

from . import postgres
from .postgres import Cluster

READER = "dbhost_reader"

_FIXED = {
    "role": "none",
    "search_path": "",
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "row_security": "off",
    "synchronous_commit": "off",
    "default_transaction_read_only": "off",
    "client_encoding": "UTF8",
    "client_min_messages": "warning",
    "datestyle": "ISO",
}
_SINCE_17 = ("transaction_timeout",)
# Set otherwise at login, or only ever for the transaction that is under way.
_LEFT = ("application_name", "transaction_isolation", "transaction_read_only", "transaction_deferrable")
# By the role itself, or by an operator for it; what it may not set at login either stays as the operator set it, and so
# does what is set for the database, whose owner is the provisioner.
_SET_BY_SOMEBODY = """
SELECT s.name, coalesce(s.reset_val, '')
  FROM pg_catalog.pg_roles AS r JOIN pg_catalog.pg_settings AS s
    ON s.context IN ('user', 'backend')
       OR s.context LIKE 'superuser%%' AND pg_catalog.has_parameter_privilege(r.oid, s.name, 'SET')
 WHERE r.rolname = %(role)s AND s.name IN (
   SELECT split_part(own, '=', 1)
     FROM pg_catalog.pg_db_role_setting AS d, unnest(d.setconfig) AS own
    WHERE d.setrole = r.oid
      AND d.setdatabase IN (0, coalesce((SELECT oid FROM pg_catalog.pg_database WHERE datname = %(database)s), 0)))
"""


def of_login(cluster: Cluster, major: int, role: str, database: str, own: Mapping[str, str]) -> str:
    """`PGOPTIONS` for a session of *role* in *database*; *own* comes before everything else.

    Raises TenantError where PostgreSQL cannot be asked what was set.
    """
    fixed = {name: value for name, value in _FIXED.items() if major >= 17 or name not in _SINCE_17}
    if role == READER:
        fixed["default_transaction_read_only"] = "on"
    chosen = {**_cluster_values(cluster, role, database), **fixed, **own}
    return " ".join(f"-c {name}={_escaped(value)}" for name, value in chosen.items())


def _cluster_values(cluster: Cluster, role: str, database: str) -> dict[str, str]:
    try:
        with postgres.connect(cluster) as connection:
            rows = connection.execute(_SET_BY_SOMEBODY, {"role": role, "database": database}).fetchall()
    except psycopg.Error as error:
        raise postgres.explain(error, "Read the settings of the role") from None
    return {name.lower(): value for name, value in rows if name not in _LEFT}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
