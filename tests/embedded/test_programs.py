"""The supervisor's configuration, read by the supervisor itself."""

import configparser

import pytest
from supervisor.options import ServerOptions

from webapp.embedded import keys, programs
from webapp.embedded.environment import Stack, StackError


def parsed(stack: Stack, environ: dict[str, str]) -> ServerOptions:
    programs.write_configuration(stack, environ)
    options = ServerOptions()
    options.realize(["-c", str(programs.configuration_file(stack)), "--nodaemon"], doc="")
    return options


def test_the_supervisor_takes_it_and_starts_nothing_by_itself(stack: Stack) -> None:
    groups = parsed(stack, {}).process_group_configs
    processes = {process.name: process for group in groups for process in group.process_configs}
    assert set(processes) == {"postgres", "pgbouncer", "pgbouncer-direct", "watchdog", "reconnect", "web", "worker"}
    assert not any(process.autostart for process in processes.values())
    assert all(process.autorestart for process in processes.values())


@pytest.mark.parametrize("value", ["a%b %(here)s", 'say "x" twice', "it's", "back\\slash\\", "a,b=c;d#e", "ü €"])
def test_hostile_values_arrive_as_they_are(stack: Stack, value: str) -> None:
    groups = parsed(stack, {"SMTP_URL": value}).process_group_configs
    [web] = [process for group in groups for process in group.process_configs if process.name == "web"]
    assert web.environment["SMTP_URL"] == value


@pytest.mark.parametrize("value", ["x\n[program:evil]", "a ;b", "a #b", "'a'", 'a"', 'it\'s "both" kinds'])
def test_values_that_the_supervisor_would_change_are_refused_by_name(stack: Stack, value: str) -> None:
    with pytest.raises(StackError, match="SMTP_URL"):
        programs.configuration(stack, {"SMTP_URL": value})


def test_no_secret_is_in_it(stack: Stack) -> None:
    keys.ensure(stack, {})
    text = programs.configuration(stack, {"DBHOST_SECRET_KEY": "c4nary", "DBHOST_ADMIN_PASSWORD": "c4nary"})
    held = [path.read_text().strip() for path in (stack.home / "secrets").iterdir()]
    assert not [secret for secret in [*held, "c4nary"] if secret in text]


def test_it_is_ordered_so_that_a_second_up_finds_no_change(stack: Stack) -> None:
    assert programs.write_configuration(stack, {"SMTP_URL": "x", "AWS_REGION": "y"})
    assert not programs.write_configuration(stack, {"AWS_REGION": "y", "SMTP_URL": "x"})
    reader = configparser.RawConfigParser()
    reader.read(programs.configuration_file(stack))
    assert reader["unix_http_server"]["chmod"] == "0700"
