"""Our modules tell the same whether they run in a Python of their own or inside the forked run."""

import json
import secrets
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.dataplane import DataPlane, verifier
from tests.worker.fronts import Fronts, events, pids
from webapp.worker import environment, in_process
from webapp.worker.warm import Warm


@pytest.fixture
def real(fronts: Fronts, dataplane: DataPlane) -> Fronts:
    """Fronts that run the real databases.yml on the throw-away data plane: one good item, one that is refused."""
    fronts.inventory, fronts.playbook = dataplane.inventory("local"), environment.PLAYBOOK
    good = {"name": f"warm-{secrets.token_hex(4)}", "generation": 1, "state": "present", "verifier": verifier("secret")}
    bad = {"name": "postgres", "generation": 1, "state": "present", "verifier": verifier("secret")}
    (fronts.folder / "variables").write_text(json.dumps({"tenant_databases": [good, bad]}))
    return fronts


def told(fronts: Fronts, socket: str, *options: str) -> list[tuple[Any, ...]]:
    fronts.options = list(options)
    code, run, errors = fronts.run(socket)
    assert (code, errors, len(pids(run))) == (2, "", 2 if socket else 1)
    found = events(run)
    assert any(name == "runner_on_failed" and "reserved_name" in str(rest) for name, *rest in found)
    return found


def test_check_run_and_again_tell_the_same(real: Fronts, warm: Warm) -> None:
    assert told(real, "", "--check", "--diff") == told(real, warm.socket(), "--check", "--diff")
    first = told(real, warm.socket())
    assert "CREATE DATABASE" in str(first)
    assert told(real, "") == told(real, warm.socket()) != first


def test_no_packed_module_was_needed(real: Fronts, warm: Warm) -> None:
    told(real, warm.socket())
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
