"""What `ansible-doc` shows of our modules is what they take, and their roles' signatures say the same."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Never

import pytest
import yaml

import agent_modules.module_utils.dbhost
from agent_modules.module_utils.dbhost import dump_specs
from agent_modules.module_utils.dbhost.items import ITEM_OPTIONS

CHECKOUT = Path(__file__).parents[3]
FOLDER = CHECKOUT / "agent_modules/modules"
MODULES = sorted(path.stem for path in FOLDER.glob("*.py"))
TENANT_ROLES = ["tenant_databases", "pgbouncer_tenants"]
Options = dict[str, dict[str, Any]]


class Asked(Exception):
    """A module has said what it takes."""


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """What `ansible-doc` says of each of our modules."""
    command = [Path(sys.executable).parent / "ansible-doc", "--type", "module", "--json", *MODULES]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), "LC_ALL": "C.UTF-8"}
    ended = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    return json.loads(ended.stdout)


def taken(name: str, monkeypatch: pytest.MonkeyPatch) -> Options:
    """The argument spec that a module gives to AnsibleModule."""
    monkeypatch.setitem(sys.modules, "ansible.module_utils.dbhost", agent_modules.module_utils.dbhost)
    spec = importlib.util.spec_from_file_location(f"documented_{name}", FOLDER / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look there
    spec.loader.exec_module(module)
    asked: list[Options] = []

    def ask(argument_spec: Options, **_: object) -> Never:
        asked.append(argument_spec)
        raise Asked

    monkeypatch.setattr(module, "AnsibleModule", ask)
    with pytest.raises(Asked):
        module.main()
    return asked[0]


def plain(options: Options) -> Options:
    """Options without words for people, whatever the level's name for those below."""
    found = {}
    for name, option in options.items():
        below = option.get("suboptions") or option.get("options")
        words = {"description", "no_log", "suboptions", "options", "version_added"}
        kept = {key: value for key, value in option.items() if key not in words and value is not None}
        if kept.get("required") is False:
            del kept["required"]
        found[name] = {"type": "str"} | kept | ({"below": plain(below)} if below else {})
    return found


def secrets(options: Options) -> set[str]:
    """The names of what must not be shown."""
    below = [option.get("options") or {} for option in options.values()]
    return {name for name, option in options.items() if option.get("no_log")}.union(*map(secrets, below))


def signature(role: str) -> Options:
    """What a role says that it takes."""
    file = CHECKOUT / "roles" / role / "meta/argument_specs.yml"
    return yaml.safe_load(file.read_text())["argument_specs"]["main"]["options"]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_documents_what_it_takes(name: str, shown: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    options = shown[name]["doc"]["options"]
    assert plain(options) == plain(taken(name, monkeypatch))
    assert all(option["description"] for option in options.values())


@pytest.mark.parametrize("name", MODULES)
def test_a_module_shows_how_it_is_used_and_what_it_returns(name: str, shown: dict[str, Any]) -> None:
    [task] = yaml.safe_load(shown[name]["examples"])[:1]
    assert set(task[name]) <= set(shown[name]["doc"]["options"])
    assert shown[name]["return"]


@pytest.mark.parametrize(
    ("role", "spec", "hidden"),
    [
        ("tenant_databases", ITEM_OPTIONS, {"verifier"}),
        ("tenant_backup", dump_specs.BACKUP, {"part_urls"}),
        ("tenant_restore", dump_specs.RESTORE, {"url", "age_identity"}),
    ],
)
def test_a_roles_signature_is_its_modules(role: str, spec: Options, hidden: set[str]) -> None:
    items = signature(role)[role]["options"]
    assert plain(items) == plain(spec)
    assert secrets(items) == secrets(spec) == hidden


@pytest.mark.parametrize("role", TENANT_ROLES)
def test_each_default_of_a_role_is_in_its_signature(role: str) -> None:
    defaults = yaml.safe_load((CHECKOUT / "roles" / role / "defaults/main.yml").read_text())
    assert set(defaults) == {name for name, option in signature(role).items() if not option.get("required")}
    assert all(name.startswith(role) for name in signature(role))


@pytest.mark.parametrize("role", TENANT_ROLES)
def test_no_task_loops_over_tenants_and_each_hides_its_secrets(role: str) -> None:
    for path in (CHECKOUT / "roles" / role / "tasks").glob("*.yml"):
        for task in yaml.safe_load(path.read_text()):
            assert task["no_log"] is True
            assert not [key for key in task if key == "loop" or key.startswith("with_")]
