"""playbooks/strangers.yml as an operator runs it: it says what nobody knows, and leaves it alone."""

import json

from tests.support.ansible_output import told
from tests.support.dataplane import DataPlane


def look(dataplane: DataPlane, *known: str) -> set[tuple[str, str]]:
    run = dataplane.run_playbook("strangers.yml", "-v", "-e", json.dumps({"known_databases": known}))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "changed=0" in run.stdout
    assert "SCRAM-SHA-256$" not in run.stdout
    found = told(run.stdout, "Report strangers")["strangers"]
    return {(one["place"], one["name"]) for one in found}


def test_what_is_known_is_no_stranger(dataplane: DataPlane, shop: str) -> None:
    unknown = {(place, name) for place, name in look(dataplane) if name == shop}
    assert unknown == {("databases", shop), ("roles", shop), ("tenants.json", shop)}
    assert not {name for _, name in look(dataplane, shop)} & {shop, "postgres", "dbhost_provisioner", "template0"}


def test_a_deleted_tenants_tombstone_is_no_stranger(dataplane: DataPlane, shop: str) -> None:
    dataplane.converge({"name": shop, "state": "absent"})
    assert f'"{shop}"' in (dataplane.config_dir / "userlist.txt").read_text()
    assert shop not in {name for _, name in look(dataplane)}
