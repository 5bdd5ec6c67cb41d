"""Showing logs, whole lines only, also across a rotation."""

import socket
from dataclasses import replace

import pytest

from webapp.embedded import layout, logs, ports
from webapp.embedded.environment import Stack, StackError


def test_a_name_there_is_none_of_is_refused_with_those_there_are(stack: Stack) -> None:
    (stack.home / "logs" / "web.log").write_text("hello\n")
    with pytest.raises(StackError, match=r"nginx.*web"):
        logs.show(stack, "nginx")


def test_half_a_line_waits_and_a_rotated_log_is_read_from_its_start(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    path = stack.home / "logs" / "web.log"
    path.write_text("one\ntw")
    position = logs.print_from(path, 0, labelled=False)
    assert (capsys.readouterr().out, position) == ("one\n", 4)
    path.write_text("x\n")
    assert logs.print_from(path, position, labelled=True) == 2
    assert capsys.readouterr().out == "         web | x\n"


def test_a_port_that_is_taken_is_named_with_its_variable(stack: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = replace(stack, web_port=taken.getsockname()[1])
        with pytest.raises(StackError, match=f"{busy.web_port}.*DBHOST_WEB_PORT"):
            ports.require_free(busy, frozenset({"pgbouncer", "postgres"}))
        ports.require_free(busy, frozenset({"web", "pgbouncer", "postgres"}))


def test_a_port_of_the_direct_door_that_nobody_chose_is_a_free_one(stack: Stack) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        busy = replace(stack, direct_port=number)
        assert ports.with_free_direct_port(busy, {}).direct_port > number
        chosen = {"DBHOST_PGBOUNCER_DIRECT_PORT": str(number)}
        assert ports.with_free_direct_port(busy, chosen).direct_port == number
        layout.record_settings(busy)
        assert ports.with_free_direct_port(busy, {}).direct_port == number
