"""The control plane's own database is made by the roles of tenant databases, and is no tenant's in the journal."""

import os

import yaml

from tests.support.dataplane import CHECKOUT, DataPlane, verifier

PLAY = {
    "name": "Converge the control database",
    "hosts": "database_hosts",
    "gather_facts": False,
    "roles": ["control_database"],
}


def test_an_operator_makes_it(dataplane: DataPlane) -> None:
    playbook = dataplane.folder / "control_database.yml"
    playbook.write_text(yaml.safe_dump([PLAY]))
    variables = dataplane.folder / "verifier.yml"
    variables.write_text(yaml.safe_dump({"control_database_verifier": verifier("secret")}))
    name, arguments = os.path.relpath(playbook, CHECKOUT / "playbooks"), ("-e", f"@{variables}")
    try:
        for changed in (True, False):
            run = dataplane.run_playbook(name, *arguments)
            assert run.returncode == 0, run.stdout
            assert ("changed=0" not in run.stdout) is changed
        with dataplane.connect("dbhost-control", "secret") as connection:
            assert connection.execute("SELECT current_database()").fetchone() == ("dbhost-control",)
        journal = dataplane.state_dir / "journal.jsonl"
        assert "dbhost-control" not in (journal.read_text() if journal.exists() else "")
    finally:
        gone = {"name": "dbhost-control", "state": "absent"}
        dataplane.playbook([gone], "-e", "tenant_databases_allow_reserved=true")
