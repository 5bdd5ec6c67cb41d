# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Converge PgBouncer's tenants: observe, decide, apply, observe, with one reload for the whole batch."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import doors, files, listeners, names, pgbouncer_files, pgbouncer_process, store
from .errors import TenantError
from .pgbouncer_files import Backend
from .pgbouncer_process import PgBouncer
from .results import Result
from .store import CUTTING, Entry, Store
from .tenants import TenantDatabase


@dataclass(frozen=True)
class Host:
    """What this host's tenants share."""

    state_dir: Path
    backend: Backend
    pgbouncer: PgBouncer
    missing: tuple[str, ...] = ()


@dataclass
class Outcome:
    """One result a database, and what was wrong with the files as a whole."""

    results: list[Result]
    changes: list[str] = field(default_factory=list)
    before: dict[str, str] = field(default_factory=dict, repr=False)
    after: dict[str, str] = field(default_factory=dict, repr=False)

    def differences(self) -> list[dict[str, str]]:
        """The files without secrets that change, as Ansible's --diff shows them."""
        return [
            {"before_header": name, "after_header": name, "before": before, "after": self.after[name]}
            for name, before in self.before.items()
            if before != self.after[name]
        ]


def host(options: Mapping[str, Any]) -> Host:
    """The host that a module's *options* describe."""
    pgbouncer = PgBouncer(options["executable"], Path(options["config_dir"]), listeners.of_options(options))
    backend = Backend(options["postgres_host"], options["postgres_port"])
    return Host(Path(options["state_dir"]), backend, pgbouncer, tuple(listeners.missing(options)))


def run(target: Host, wanted: Sequence[TenantDatabase], *, check: bool) -> Outcome:
    """Converge *wanted* under the host's lock; a check takes no lock and changes nothing."""
    with contextlib.nullcontext() if check else files.lock(target.state_dir):
        return converge(target, wanted, check=check)


def converge(host: Host, wanted: Sequence[TenantDatabase], *, check: bool) -> Outcome:
    """Converge the PgBouncer entries of *wanted*; the caller holds the host's lock unless it only checks."""
    held = store.load(host.state_dir)
    outcome = Outcome([Result.of(item) for item in wanted])
    steps = _decide(held, wanted, outcome)
    _note_missing(host, outcome)
    found = _rendered(host, held)
    known = any(entry.verifier or entry.tombstone for entry in held.values())
    drifted = pgbouncer_files.differing(host.pgbouncer.config_dir, found) if known else []
    final = {**held, **{name: step.after for name, step in steps.items()}}
    outcome.before, outcome.after = _current(host), _rendered(host, final)
    outcome.changes += [f"Restore {name}" for name in drifted]
    _name_drifted(host, found if drifted else {}, outcome)
    unserved = _unserved(host, steps, outcome)
    if not check and (drifted or unserved or any(step.changes for step in steps.values())):
        _apply(host, held, final, steps, unserved, outcome)
    elif not check:
        store.save(host.state_dir, final)
    return outcome


def _decide(held: Store, wanted: Sequence[TenantDatabase], outcome: Outcome) -> dict[str, doors.Step]:
    steps = {}
    for item, result in zip(wanted, outcome.results, strict=True):
        if names.is_held(item.name):  # PgBouncer never knew it by this name
            continue
        try:
            store.require_current(held, item)
            steps[item.name] = doors.step(held.get(item.name, Entry()), item)
            result.changes += steps[item.name].changes
            result.notes += [item.sizes_note] if item.sizes_note else []
        except TenantError as error:
            result.error = error
    return steps


def _note_missing(host: Host, outcome: Outcome) -> None:
    """Say which of its doors a host that an older release set up does not have."""
    for result in outcome.results:
        result.notes += [f"This host has no {name} door yet: run playbooks/host.yml for it." for name in host.missing]


def _name_drifted(host: Host, expected: Mapping[str, str], outcome: Outcome) -> None:
    """Say with each database whose lines somebody changed in which of the files."""
    found = pgbouncer_files.differing_names(host.pgbouncer.config_dir, expected)
    for result in outcome.results:
        result.changes += [f'Restore the lines of "{result.name}" in {file}' for file in found.get(result.name, ())]


def _unserved(host: Host, steps: Mapping[str, doors.Step], outcome: Outcome) -> set[str]:
    """Those that need no change by the store's account, but that PgBouncer does not serve so."""
    settled = {name: step.after for name, step in steps.items() if not step.changes}
    answers = pgbouncer_process.serves(host.pgbouncer, settled)
    unserved = {name for name, as_wanted in answers.items() if not as_wanted}
    for result in outcome.results:
        if result.name in unserved and not result.error:
            result.changes.append(f'Reload PgBouncer, which does not serve "{result.name}" as it should')
    return unserved


def _apply(
    host: Host, held: Store, final: Store, steps: Mapping[str, doors.Step], unserved: set[str], outcome: Outcome
) -> None:
    leaving = {name: doors.closed(step.before, CUTTING) for name, step in steps.items() if step.shuts}
    changed = {name: step.after for name, step in steps.items() if step.changes or name in unserved}
    try:
        if leaving:
            held = {**held, **leaving}
            final = {**final, **_cut(host, held, leaving, steps, outcome)}
        _publish(host, final, final)
        missing = pgbouncer_process.wait_until_served(host.pgbouncer, changed)
    except TenantError as error:
        _fail(outcome, {*changed, *(result.name for result in outcome.results if result.changes)}, error)
        return
    _fail(outcome, missing, _not_served())


def _cut(
    host: Host, held: Store, leaving: Store, steps: Mapping[str, doors.Step], outcome: Outcome
) -> dict[str, Entry]:
    """Let nobody new in, and only then take out the databases of those that open again, which ends every session.

    PgBouncer 1.24 dies of a database that is taken out while clients come back whose logins at the server fail.
    Whoever it does not obey for stays *cutting*, for the next run; the entries of these are returned.
    """
    stuck = _show(host, held, held, leaving, outcome)
    out = {name: doors.closed(entry) for name, entry in leaving.items() if steps[name].cut and name not in stuck}
    if out:
        stuck |= _show(host, {**held, **out}, held, out, outcome)
        store.save(host.state_dir, {**held, **{name: out[name] for name in out.keys() - stuck}})
    return {name: leaving[name] for name in stuck}


def _show(host: Host, wanted: Store, remembered: Store, watched: Store, outcome: Outcome) -> set[str]:
    """Publish *wanted* and wait until PgBouncer serves *watched*; those that it does not serve have failed."""
    _publish(host, wanted, remembered)
    missing = pgbouncer_process.wait_until_served(host.pgbouncer, watched)
    _fail(outcome, missing, _not_served())
    return missing


def _publish(host: Host, wanted: Store, remembered: Store) -> None:
    """Prove, remember, write, reload: a kill between any two of these is healed by the next run."""
    contents = _rendered(host, wanted)
    pgbouncer_process.prove(host.pgbouncer.executable, contents, host.state_dir)
    store.save(host.state_dir, remembered)
    pgbouncer_files.write(host.pgbouncer.config_dir, contents)
    pgbouncer_process.reload(host.pgbouncer)


def _rendered(host: Host, wanted: Store) -> dict[str, str]:
    return pgbouncer_files.render(wanted, host.backend, host.pgbouncer.listeners)


def _current(host: Host) -> dict[str, str]:
    found = {}
    for name in (*(listener.databases_file for listener in host.pgbouncer.listeners), pgbouncer_files.HBA):
        path = host.pgbouncer.config_dir / name
        found[name] = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    return found


def _fail(outcome: Outcome, names: set[str], error: TenantError) -> None:
    for result in outcome.results:
        if result.name in names and not result.error:
            result.error = error


def _not_served() -> TenantError:
    return TenantError(
        "pgbouncer_not_serving",
        "PgBouncer does not serve the new state; its own log says why.",
        retryable=True,
        step="Watch PgBouncer after the reload",
    )
