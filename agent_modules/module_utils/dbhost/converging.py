# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The databases' part of a run: under the host's lock, refusing what is older than what the host has seen."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import databases, files, names, scram, store
from .errors import TenantError
from .postgres import Cluster
from .results import Result
from .tenants import TenantDatabase


def target(options: Mapping[str, Any]) -> databases.Target:
    """The cluster that a module's *options* name."""
    cluster = Cluster(options["socket_dir"], options["port"], options["provisioner"])
    return databases.Target(cluster, scram.Endpoint(options["login_host"], options["port"]))


def run(state_dir: Path, cluster: databases.Target, wanted: Sequence[TenantDatabase], *, check: bool) -> list[Result]:
    """Converge *wanted*. A generation counts as seen before its first change, so that nothing older comes after."""
    with contextlib.nullcontext() if check else files.lock(state_dir):
        held = store.load(state_dir)
        current, stale = _split(held, wanted)
        if not check:
            remembered = {item.name: store.accepted(held, item) for item in current if not names.is_held(item.name)}
            store.save(state_dir, {**held, **remembered})
        return [*databases.converge(cluster, current, check=check), *stale]


def _split(held: store.Store, wanted: Sequence[TenantDatabase]) -> tuple[list[TenantDatabase], list[Result]]:
    current, stale = [], []
    for item in wanted:
        try:
            store.require_current(held, item)
            current.append(item)
        except TenantError as error:
            stale.append(Result.of(item, error))
    return current, stale
