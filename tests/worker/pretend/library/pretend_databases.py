"""Pretend to converge databases; what shall go wrong is in files of `folder`."""

import fcntl
import json
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule


def converge(folder: Path, database: dict) -> dict:
    """Apply one database, or the error that `errors.json` has for it."""
    errors = json.loads((folder / "errors.json").read_text()) if (folder / "errors.json").exists() else {}
    error = errors.get(database["name"])
    data = folder / f"data-{database['name']}"
    aside = folder / f"data-{database['held_as']}"
    if error is None and database["state"] == "absent" and database["held_as"]:
        if data.exists():
            data.rename(aside)
    elif error is None and database["state"] == "absent":
        data.unlink(missing_ok=True)
    elif error is None and aside.exists() and not data.exists():
        aside.rename(data)
    else:
        data.touch()
    with (folder / "applied").open("a") as applied:
        applied.write(json.dumps({key: database[key] for key in ("name", "generation", "state")}) + "\n")
    return {
        "name": database["name"],
        "generation": database["generation"],
        "state": database["state"],
        "changed": error is None,
        "changes": [] if error else [f"CONVERGE {database['name']} {database['state']}"],
        "error": error,
    }


def main() -> None:
    fields = {
        "name": {"type": "str"},
        "generation": {"type": "int"},
        "state": {"type": "str"},
        "verifier": {"type": "str", "no_log": True},
        "connection_limit": {"type": "int"},
        "pool_size": {"type": "int"},
        "direct_pool_size": {"type": "int"},
        "pool_mode": {"type": "str"},
        "members": {"type": "list", "elements": "dict", "no_log": True},
        "read_only": {"type": "bool"},
        "networks": {"type": "list", "elements": "str"},
        "disconnect": {"type": "bool"},
        "repair_ownership": {"type": "bool"},
        "held_as": {"type": "str"},
    }
    databases = {"type": "list", "elements": "dict", "options": fields}
    module = AnsibleModule(argument_spec={"databases": databases, "folder": {"type": "path"}})
    folder = Path(module.params["folder"])
    with (folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (folder / "runs").open("a") as runs:
            runs.write(f"{len(module.params['databases'])}\n")
        (folder / "entered").touch()
        while (folder / "wait").exists():
            time.sleep(0.02)
        if (folder / "crash").exists():
            module.fail_json(msg="The whole module failed.")
        results = [converge(folder, database) for database in module.params["databases"]]
        (folder / "applied-all").touch()
        while (folder / "wait-after").exists():
            time.sleep(0.02)
    module.exit_json(changed=True, databases=results)


if __name__ == "__main__":
    main()
