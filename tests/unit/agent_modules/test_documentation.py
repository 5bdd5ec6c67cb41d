"""A module's documentation, its options and its role's signature say the same."""

import ast
from pathlib import Path

import pytest
import yaml

from agent_modules.module_utils.dbhost.items import ITEM_OPTIONS

CHECKOUT = Path(__file__).parents[3]
MODULES = ["tenant_databases", "pgbouncer_tenants"]


def documented(module):
    source = (CHECKOUT / "agent_modules/modules" / f"{module}.py").read_text()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and node.targets[0].id in {"DOCUMENTATION", "EXAMPLES", "RETURN"}:
            yield node.targets[0].id, yaml.safe_load(node.value.value)


def options_in_code(module):
    """The module's OPTIONS, where the items' are a name of their own."""
    source = (CHECKOUT / "agent_modules/modules" / f"{module}.py").read_text()
    [node] = [n for n in ast.parse(source).body if isinstance(n, ast.Assign) and n.targets[0].id == "OPTIONS"]
    text = ast.unparse(node.value).replace("items.ITEM_OPTIONS", "None")
    return ast.literal_eval(text)


def comparable(options, *, without=("description", "suboptions", "options", "no_log")):
    return {
        name: {key: value for key, value in option.items() if key not in without} for name, option in options.items()
    }


@pytest.mark.parametrize("module", [*MODULES, "host_report", "host_strangers"])
def test_the_documentation_says_what_the_code_takes(module):
    options = dict(documented(module))["DOCUMENTATION"]["options"]
    assert comparable(options) == comparable(options_in_code(module))
    if module in MODULES:
        assert comparable(options["databases"]["suboptions"]) == comparable(ITEM_OPTIONS)
    assert all(option["description"] for option in options.values())


def test_the_roles_signature_is_the_modules():
    specs = yaml.safe_load((CHECKOUT / "roles/tenant_databases/meta/argument_specs.yml").read_text())
    items = specs["argument_specs"]["main"]["options"]["tenant_databases"]["options"]
    assert comparable(items) == comparable(ITEM_OPTIONS)
    assert [name for name, option in items.items() if option.get("no_log")] == ["verifier"]


@pytest.mark.parametrize("role", MODULES)
def test_each_default_of_a_role_is_in_its_signature(role):
    folder = CHECKOUT / "roles" / role
    signature = yaml.safe_load((folder / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    optional = {name for name, option in signature.items() if not option.get("required")}
    assert set(yaml.safe_load((folder / "defaults/main.yml").read_text())) == optional
    assert all(name.startswith(role) for name in signature)


@pytest.mark.parametrize("role", MODULES)
def test_no_task_loops_over_tenants_and_each_hides_its_secrets(role):
    for path in (CHECKOUT / "roles" / role / "tasks").glob("*.yml"):
        for task in yaml.safe_load(path.read_text()):
            assert task["no_log"] is True
            assert not [key for key in task if key == "loop" or key.startswith("with_")]
