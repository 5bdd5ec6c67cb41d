"""A throw-away PgBouncer proves the files: it complains, it takes them, or nobody knows yet."""

import pytest

from agent_modules.module_utils.dbhost import pgbouncer_process
from agent_modules.module_utils.dbhost.errors import TenantError
from tests.support.servers import pgbouncer_executable

GOOD = {"databases.ini": "[databases]\n", "hba.conf": "", "userlist.txt": ""}


def refusal(executable, contents, folder):
    with pytest.raises(TenantError) as error:
        pgbouncer_process.prove(executable, contents, folder)
    return error.value.code, error.value.retryable


def test_good_files_pass(dataplane):
    pgbouncer_process.prove(pgbouncer_executable(), GOOD, dataplane.state_dir)


@pytest.mark.parametrize("broken", [{"databases.ini": "[databases]\nx = nonsense\n"}, {"hba.conf": "nonsense\n"}])
def test_what_it_complains_of_is_refused_for_good(dataplane, broken):
    assert refusal(pgbouncer_executable(), GOOD | broken, dataplane.state_dir) == ("candidate_refused", False)


@pytest.mark.parametrize("program", ["sleep 60", "kill -9 $$"])
def test_one_that_does_not_come_up_is_tried_again(tmp_path, monkeypatch, program):
    """A machine that is too busy, or short of memory, says nothing about the files."""
    slow = tmp_path / "pgbouncer"
    slow.write_text(f"#!/bin/sh\n{program}\n")
    slow.chmod(0o755)
    monkeypatch.setattr(pgbouncer_process, "_WAIT_S", 0.3)
    assert refusal(str(slow), GOOD, tmp_path) == ("candidate_unproven", True)
