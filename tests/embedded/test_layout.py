"""Folders and files of a stack: modes, whole writes, socket paths."""

import stat
from dataclasses import replace
from pathlib import Path

from webapp.embedded import layout
from webapp.embedded.environment import Stack


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_closed_stays_closed_and_a_wrong_mode_is_mended(stack: Stack) -> None:
    (stack.home / "postgres" / "data").chmod(0o755)
    layout.ensure(stack)
    assert mode(stack.home) == 0o700
    assert mode(stack.home / "postgres" / "data") == 0o700
    assert mode(stack.socket_dir / "pgbouncer") == 0o700


def test_a_file_is_written_once(stack: Stack) -> None:
    path = stack.home / "secrets" / "x"
    assert layout.write_file(stack, path, "one\n", stack.agent_user, 0o600)
    before = path.stat()
    assert not layout.write_file(stack, path, "one\n", stack.agent_user, 0o600)
    assert path.stat() == before
    assert layout.write_file(stack, path, "two\n", stack.agent_user, 0o640)
    assert (path.read_text(), mode(path)) == ("two\n", 0o640)
    assert [entry.name for entry in path.parent.iterdir()] == ["x"]


def test_a_home_too_deep_for_a_socket_gets_a_short_folder_of_its_own(stack: Stack) -> None:
    deep = replace(stack, home=stack.home / ("d" * 120), socket_dir=stack.home / ("d" * 120) / "run")
    short = layout.with_short_sockets(deep)
    assert len(str(short.socket_dir / layout.LONGEST_SOCKET)) <= layout.SOCKET_PATH_LIMIT
    assert layout.has_outside_sockets(short)
    assert layout.with_short_sockets(deep) == short
    other = replace(deep, home=stack.home / ("e" * 120), socket_dir=stack.home / ("e" * 120) / "run")
    assert layout.with_short_sockets(other).socket_dir != short.socket_dir


def test_a_home_near_the_root_keeps_its_sockets(stack: Stack) -> None:
    near = replace(stack, home=Path("/srv/dbhost"), socket_dir=Path("/srv/dbhost/run"))
    assert layout.with_short_sockets(near) == near
    assert not layout.has_outside_sockets(near)
