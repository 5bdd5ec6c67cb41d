"""playbooks/databases.yml as an operator runs it: by hand, with a file of tenants and no web app."""

import re
import secrets

import pytest

from tests.support.ansible_output import told
from tests.support.dataplane import verifier


def recap(run):
    """The counts of the run's last line."""
    found = re.search(r"^db1 +: (.*)$", run.stdout, re.MULTILINE)
    assert found, run.stdout + run.stderr
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", found[1])}


def report(run):
    """What the last task says of each database, by name."""
    return {item["name"]: item for item in told(run.stdout, "Report each database")["databases"]}


def files(dataplane):
    return {
        str(path): path.read_bytes()
        for folder in (dataplane.state_dir, dataplane.config_dir)
        for path in folder.iterdir()
        if path.is_file()
    }


@pytest.fixture
def shop(dataplane):
    """The item of a shop that is gone again after the test."""
    name = f"shop-{secrets.token_hex(4)}"
    yield {"name": name, "generation": 1, "verifier": verifier("secret")}
    [gone] = dataplane.converge({"name": name, "state": "absent"})
    assert gone["error"] is None


def test_check_run_again_and_absent(dataplane, shop):
    before = files(dataplane)
    check = dataplane.playbook([shop], "--check", "--diff", "-v")
    assert (check.returncode, files(dataplane)) == (0, before)
    assert f'+ CREATE DATABASE "{shop["name"]}"' in check.stdout
    assert f"+{shop['name']} = host=127.0.0.1" in check.stdout
    run = dataplane.playbook([shop], "-v")
    assert report(run) == report(check)
    assert report(run)[shop["name"]]["changed"]
    dataplane.connect(shop["name"], "secret").close()
    assert recap(dataplane.playbook([shop]))["changed"] == 0
    gone = {"name": shop["name"], "generation": 2, "state": "absent"}
    predicted = dataplane.converge(gone, check=True)
    assert list(report(dataplane.playbook([gone], "-v")).values()) == predicted
    assert recap(dataplane.playbook([gone], "--check"))["changed"] == 0


def test_a_run_by_root_leaves_files_that_the_agents_user_owns(dataplane, shop):
    assert dataplane.playbook([shop]).returncode == 0
    made = [*dataplane.state_dir.iterdir(), *(dataplane.config_dir / name for name in ("hba.conf", "userlist.txt"))]
    assert {path.owner() for path in made} == {dataplane.user}


def test_one_bad_item_fails_the_play_after_the_others_are_converged(dataplane, shop):
    stale = {"name": "stale-one", "generation": 1, "state": "absent"}
    dataplane.converge({**stale, "generation": 2})
    bad = [{"name": "postgres", "state": "absent"}, {"name": "bad-verifier", "verifier": "plain"}, stale]
    run = dataplane.playbook([*bad, shop])
    assert (run.returncode, recap(run)["failed"]) == (2, 1)
    found = report(run)
    assert found[shop["name"]]["error"] is None
    codes = {name: item["error"]["code"] for name, item in found.items() if item["error"]}
    expected = {"postgres": "reserved_name", "bad-verifier": "invalid_verifier", "stale-one": "stale_generation"}
    assert codes == expected
    dataplane.connect(shop["name"], "secret").close()


def test_two_hosts_in_play_need_a_limit(dataplane, shop):
    refused = dataplane.playbook([shop], hosts=("db1", "db2"))
    assert refused.returncode != 0
    assert "name the one you mean with -l" in refused.stdout
    assert shop["name"] not in (dataplane.config_dir / "databases.ini").read_text()
    assert dataplane.playbook([shop], "-l", "db1", hosts=("db1", "db2")).returncode == 0


def test_an_empty_list_changes_nothing(dataplane):
    assert recap(dataplane.playbook([]))["changed"] == 0
