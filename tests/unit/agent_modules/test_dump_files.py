"""The lock of a database's dumps and restores: one at a time, and nothing is left where nothing is kept."""

import threading
from pathlib import Path

import pytest

from agent_modules.module_utils.dbhost import dump_files
from agent_modules.module_utils.dbhost.errors import TenantError


def test_a_folder_of_nothing_but_the_lock_goes(tmp_path: Path) -> None:
    folder = dump_files.store(tmp_path, "restores", "shop")
    with dump_files.alone(folder, leave_nothing=True):
        assert folder.is_dir()
    assert not folder.exists()
    with dump_files.alone(folder, leave_nothing=True):
        (folder / "kept").touch()
    assert (folder / "kept").exists()


def test_another_is_told_so(tmp_path: Path) -> None:
    folder = dump_files.store(tmp_path, "restores", "shop")
    with dump_files.alone(folder), pytest.raises(TenantError, match="Another run"), dump_files.alone(folder):
        pass


def test_a_lock_that_is_removed_by_its_holder_lets_nobody_in_beside(tmp_path: Path) -> None:
    folder, inside, most = tmp_path / "shop", [0], [0]
    guard = threading.Lock()

    def work() -> None:
        for _ in range(200):
            try:
                with dump_files.alone(folder, leave_nothing=True):
                    with guard:
                        inside[0] += 1
                        most[0] = max(most[0], inside[0])
                    with guard:
                        inside[0] -= 1
            except TenantError:
                continue

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
