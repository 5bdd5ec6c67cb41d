# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the modules of dumps and restores have in common: where the host keeps what, and who logs in to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import psycopg

from . import postgres
from .dump_user import DumpUser
from .errors import TenantError
from .postgres import Cluster


def cluster(options: Mapping[str, Any]) -> Cluster:
    """The cluster that a module's *options* name."""
    return Cluster(options["socket_dir"], options["port"], options["provisioner"])


def dump_user(options: Mapping[str, Any]) -> DumpUser:
    """The OS user of dumps. Raises TenantError if PostgreSQL, whose version decides its settings, is not there."""
    where = cluster(options)
    try:
        with postgres.connect(where) as connection:
            major = connection.info.server_version // 10000
    except psycopg.Error as error:
        raise postgres.explain(error, "Connect to PostgreSQL") from None
    return DumpUser(options["dump_user"], options["bin_dir"], where, options["dump_socket"], major)


def guarded(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What *work* returns, or `{"error": …}`: a module that fails with a traceback would quote values."""
    try:
        return work()
    except TenantError as error:
        return {"error": error.as_dict()}
    except Exception as error:  # noqa: BLE001  # a module's outermost: what it prints must never hold a value
        message = f"The module failed unexpectedly ({type(error).__name__})."
        return {"error": TenantError("unexpected", message, retryable=True).as_dict()}
