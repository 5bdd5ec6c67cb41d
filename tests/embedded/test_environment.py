"""What a stack's settings come from, and what its processes get to know."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from webapp.embedded import environment, layout
from webapp.embedded.environment import Stack, StackError


def test_the_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    stack = environment.load({"DBHOST_HOME": str(tmp_path)})
    assert (stack.web_port, stack.pgbouncer_port, stack.postgres_port) == (8000, 6432, 5433)
    assert stack.direct_port == 6433
    assert (stack.public_host, stack.url) == ("127.0.0.1", "http://127.0.0.1:8000")


def test_without_a_home_it_is_in_the_checkout() -> None:
    assert environment.find_home({}) == environment.CHECKOUT / ".dbhost"


def test_a_later_command_knows_the_ports_of_the_last_up(stack: Stack) -> None:
    layout.record_settings(replace(stack, web_port=8100))
    assert environment.load({"DBHOST_HOME": str(stack.home)}).web_port == 8100
    assert environment.load({"DBHOST_HOME": str(stack.home), "DBHOST_WEB_PORT": "8200"}).web_port == 8200


@pytest.mark.parametrize("text", ["0", "65536", "web", "-1", "80 "])
def test_a_port_that_is_none_is_refused_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(StackError, match="DBHOST_WEB_PORT"):
        environment.load({"DBHOST_HOME": str(tmp_path), "DBHOST_WEB_PORT": text})


def test_two_programs_on_one_port_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="three different ports"):
        environment.load({"DBHOST_HOME": str(tmp_path), "DBHOST_WEB_PORT": "6432"})


@pytest.mark.parametrize("taken", [{}, {"DBHOST_POSTGRES_PORT": "7001"}, {"DBHOST_WEB_PORT": "7001"}])
def test_the_direct_door_is_at_the_next_port_unless_said(tmp_path: Path, taken: dict[str, str]) -> None:
    asked = {"DBHOST_HOME": str(tmp_path), "DBHOST_PGBOUNCER_PORT": "7000", **taken}
    assert environment.load(asked).direct_port == (7002 if taken else 7001)
    assert environment.load({**asked, "DBHOST_PGBOUNCER_DIRECT_PORT": "7009"}).direct_port == 7009
    with pytest.raises(StackError, match="DBHOST_PGBOUNCER_DIRECT_PORT must be another"):
        environment.load({**asked, "DBHOST_PGBOUNCER_DIRECT_PORT": "7000"})


def test_a_damaged_record_counts_as_none(stack: Stack) -> None:
    environment.settings_file(stack.home).write_text("{")
    assert environment.load({"DBHOST_HOME": str(stack.home)}).web_port == 8000


def test_the_worker_gets_no_key_and_the_web_process_no_playbook_variable(stack: Stack) -> None:
    asked = {"DBHOST_SECRET_KEY": "s3cret", "DBHOST_ENCRYPTION_KEYS": "k3y", "STRIPE_API_KEY": "sk_1", "HOME": "/x"}
    worker, web = environment.worker_environment(stack, asked), environment.web_environment(stack, asked)
    assert not {name for name in worker if "KEY" in name} - {"STRIPE_API_KEY"}
    assert not {name for name in web if name.startswith("DBHOST_POSTGRES_BIN")}
    assert "s3cret" not in json.dumps([worker, web])
    assert "k3y" not in json.dumps([worker, web])
    assert "HOME" not in web


def test_control_urls_verify_the_certificate_through_pgbouncer_and_quote_the_password(stack: Stack) -> None:
    url = environment.control_url(stack, "a/b@c", through_pgbouncer=True)
    assert ":a/b%40c@127.0.0.1:6432/" in url or ":a%2Fb%40c@127.0.0.1:6432/" in url
    assert "sslmode=verify-full" in url
    assert ":5433/" in environment.control_url(stack, "x", through_pgbouncer=False)


def test_an_unpacking_cut_short_is_done_again(tmp_path: Path) -> None:
    partial = tmp_path / "postgresql-18-x" / "bin"
    partial.mkdir(parents=True)
    environment.postgres_bin(tmp_path)
    assert not partial.exists()
    assert (tmp_path / ".unpacked").exists()


def test_what_another_process_unpacks_is_waited_for(tmp_path: Path) -> None:
    theirs = tmp_path / "postgresql-18-x" / "bin"
    theirs.mkdir(parents=True)
    waiting = threading.Thread(target=environment.postgres_bin, args=[tmp_path])
    with environment.locked(tmp_path):
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
        (tmp_path / ".unpacked").touch()
    waiting.join()
    assert theirs.exists()
