import socket

import pytest

from agent_modules.module_utils.dbhost import programs


def test_only_a_file_of_a_later_second_is_newer() -> None:
    assert not programs.is_outdated(1_000, 1_000.9)
    assert programs.is_outdated(1_000, 1_001.0)


def test_the_newest_of_no_files_is_never(tmp_path) -> None:
    assert programs.newest([]) == 0.0
    (tmp_path / "a").touch()
    assert programs.newest([tmp_path / "a"]) == (tmp_path / "a").stat().st_mtime


@pytest.mark.parametrize("listening", [True, False])
def test_a_port_answers_or_does_not(listening: bool) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:
            server.listen()
        assert programs.answers_within(server.getsockname()[1], 0.1) is listening
