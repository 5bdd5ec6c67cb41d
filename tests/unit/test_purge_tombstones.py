"""What a start of PgBouncer takes out of its userlist is what the host's store says, to the byte."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import pytest

from agent_modules.module_utils.dbhost import doors, files, listeners, pgbouncer_files, scram, store
from agent_modules.module_utils.dbhost.store import OPEN, Entry

PROGRAM = Path(__file__).parents[2] / "roles/pgbouncer/files/purge_tombstones.py"
BACKEND = pgbouncer_files.Backend("127.0.0.1", 5432)
LISTENERS = listeners.of_options({"socket_dir": "/nowhere", "config_dir": "/nowhere", "port": 6432})
OPENED = Entry(generation=4, door=OPEN, verifier=scram.build(b"secret", b"0123456789abcdef"))


@pytest.fixture
def program() -> ModuleType:
    specification = importlib.util.spec_from_file_location("purge_tombstones", PROGRAM)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host with one tenant and the tombstone of another."""
    held = {"shop": OPENED, "gone": doors.closed(OPENED)}
    store.save(tmp_path, held)
    files.write(tmp_path / "userlist.txt", pgbouncer_files.render(held, BACKEND, LISTENERS)["userlist.txt"])
    return tmp_path


def test_tombstones_go_and_files_and_store_agree(program: ModuleType, host: Path) -> None:
    assert '"gone"' in (host / "userlist.txt").read_text()
    assert program.purge(host, host / "userlist.txt") == 1
    held = store.load(host)
    wanted = pgbouncer_files.render(held, BACKEND, LISTENERS)["userlist.txt"]
    assert files.is_as_wanted(host / "userlist.txt", wanted)
    assert '"gone"' not in wanted
    assert '"shop"' in wanted
    assert held["gone"].generation == 4
    before = (host / "tenants.json").stat().st_mtime_ns
    store.save(host, held)
    assert (host / "tenants.json").stat().st_mtime_ns == before
    assert program.purge(host, host / "userlist.txt") == 0


def test_a_host_without_tenants_is_left_alone(program: ModuleType, tmp_path: Path) -> None:
    assert program.purge(tmp_path, tmp_path / "userlist.txt") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_run_under_way_is_not_disturbed(
    program: ModuleType, host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "WAIT_S", 0.0)
    monkeypatch.setattr(program.sys, "argv", ["purge", str(host), str(host / "userlist.txt")])
    with files.lock(host):
        program.main()
    assert "stay" in capsys.readouterr().out
    assert '"gone"' in (host / "userlist.txt").read_text()
    program.main()
    assert '"gone"' not in (host / "userlist.txt").read_text()
    assert os.access(host / "lock", os.W_OK)
