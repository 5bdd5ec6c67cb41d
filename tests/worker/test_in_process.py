"""Our modules tell the same whether they run in a Python of their own or inside the forked run."""

import secrets
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.dataplane import DataPlane, verifier
from tests.worker.fronts import Fronts, Run
from webapp.worker import environment, in_process
from webapp.worker.warm import Warm


@pytest.fixture
def real(fronts: Fronts, dataplane: DataPlane) -> Fronts:
    """Runs of the real databases.yml on the throw-away data plane: one good item, one that is refused."""
    fronts.inventory, fronts.playbook = dataplane.inventory("local"), environment.PLAYBOOK
    good = {"name": f"warm-{secrets.token_hex(4)}", "generation": 1, "state": "present", "verifier": verifier("secret")}
    bad = {"name": "postgres", "generation": 1, "state": "present", "verifier": verifier("secret")}
    fronts.variables({"tenant_databases": [good, bad]})
    return fronts


def warmly(fronts: Fronts, server: Warm, *options: str) -> list[Any]:
    fronts.options = list(options)
    return refused(fronts.warm(server))


def plainly(fronts: Fronts, *options: str) -> list[Any]:
    fronts.options = list(options)
    return refused(fronts.plain())


def refused(run: Run | None) -> list[Any]:
    assert run is not None
    assert (run.code, run.errors) == (2, "")
    assert any(event["event"] == "runner_on_failed" and "reserved_name" in str(event) for event in run.told)
    return run.told


def test_check_run_and_again_tell_the_same(real: Fronts, warm: Warm) -> None:
    assert plainly(real, "--check", "--diff") == warmly(real, warm, "--check", "--diff")
    first = warmly(real, warm)
    assert "CREATE DATABASE" in str(first)
    assert plainly(real) == warmly(real, warm) != first


def shape(value: Any) -> Any:
    """What differs from look to look, such as sizes and times, is only told by its kind."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(inner) for inner in value[:1]] if isinstance(value, list) else type(value).__name__


@pytest.mark.parametrize(
    ("playbook", "variables"),
    [
        ("report", {}),
        ("strangers", {"known_databases": []}),
        ("activity", {"tenant_activity": {"name": "shop"}}),
        (
            "backup",
            {"tenant_backup": {"name": "nobody", "folder": str(uuid.uuid4()), "filename": "20261124_020000.sql.gz"}},
        ),
        ("backups", {"tenant_backups": [{"name": "nobody"}]}),
        ("restore", {"tenant_restore": {"name": "nobody"}}),
        ("backup_files", {"tenant_backup_files": {"folder": "../up"}}),
    ],
)
def test_every_playbook_tells_the_same(real: Fronts, warm: Warm, playbook: str, variables: dict[str, Any]) -> None:
    """With variables as it wants them, or refused for the same reason in the same words."""
    real.playbook = environment.PLAYBOOKS / f"{playbook}.yml"
    real.variables(variables)
    plain, warmed = real.plain(), real.warm(warm)
    assert warmed is not None
    assert (plain.code, shape(plain.told)) == (warmed.code, shape(warmed.told))
    assert len(plain.told) > 3


def test_no_packed_module_was_needed(real: Fronts, warm: Warm) -> None:
    warmly(real, warm)
    assert list((real.folder / "modules").rglob("*tenant*")) == []


def action(**changed: Any) -> Any:
    """An action as `_is_here` sees it; local, without become, with this Python."""
    given = {"transport": "local", "become": None, "async_val": 0, "environment": [], **changed}
    return SimpleNamespace(
        _connection=SimpleNamespace(transport=given["transport"], become=given["become"]),
        _task=SimpleNamespace(async_val=given["async_val"], environment=given["environment"]),
        _templar=SimpleNamespace(template=lambda value: value),
    )


@pytest.mark.parametrize(
    "changed", [{"transport": "ssh"}, {"become": object()}, {"async_val": 5}, {"environment": [{"A": "b"}]}]
)
def test_everything_else_goes_ansibles_own_way(changed: dict[str, Any]) -> None:
    here = {"ansible_python_interpreter": environment.sys.executable}
    assert in_process._is_here(action(), here)
    assert not in_process._is_here(action(**changed), here)


@pytest.mark.parametrize("interpreter", [None, "auto_silent", "/usr/bin/python3", str(Path("/nowhere/python"))])
def test_another_python_goes_ansibles_own_way(interpreter: str | None) -> None:
    assert not in_process._is_here(action(), {"ansible_python_interpreter": interpreter})
