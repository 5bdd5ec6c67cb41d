"""Rules of the house that a machine can check."""

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from agent_modules.module_utils.dbhost import names as host_names
from agent_modules.module_utils.dbhost.errors import TenantError
from webapp.models import (
    Base,
    backups,
    billing,
    databases,
    drift,
    invitations,
    one_time_tokens,
    operations,
    records,
    users,
    webhooks,
)
from webapp.services import names
from webapp.services.errors import ValidationFailed

CHECKOUT = Path(__file__).parents[2]
TUPLES = {
    "users.platform_role": users.PLATFORM_ROLES,
    "users.state": users.USER_STATES,
    "api_keys.scope": users.KEY_SCOPES,
    "backups.kind": backups.BACKUP_KINDS,
    "backups.state": backups.BACKUP_STATES,
    "backups.store": backups.STORES,
    "hosts.state": databases.HOST_STATES,
    "hosts.short_of": databases.SHORTAGES,
    "databases.status": databases.DATABASE_STATUSES,
    "databases.desired_state": databases.DESIRED_STATES,
    "databases.pool_mode": databases.POOL_MODES,
    "databases.storage_state": databases.STORAGE_STATES,
    "members.level": databases.LEVELS,
    "invitations.level": invitations.OFFERED,
    "differences.kind": drift.DIFFERENCE_KINDS,
    "operations.state": operations.OPERATION_STATES,
    "operations.lane": operations.LANES,
    "runs.lane": operations.LANES,
    "runs.state": operations.RUN_STATES,
    "run_steps.state": operations.STEP_STATES,
    "one_time_tokens.purpose": one_time_tokens.PURPOSES,
    "audit_events.actor_type": records.ACTOR_TYPES,
    "subscriptions.status": billing.SUBSCRIPTION_STATUSES,
    "webhook_endpoints.state": webhooks.ENDPOINT_STATES,
    "webhook_deliveries.state": webhooks.DELIVERY_STATES,
}


def tracked(pattern: str) -> list[Path]:
    """Files of the checkout that git knows or would know."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "--", pattern]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    return [CHECKOUT / name for name in listed.splitlines() if (CHECKOUT / name).is_file()]


def product_python() -> Iterator[Path]:
    """Our own code; a migration is a list, however long."""
    roots = ("webapp", "agent_modules")
    found = (path for path in tracked("*.py") if path.relative_to(CHECKOUT).parts[0] in roots)
    return (path for path in found if "versions" not in path.parts)


def test_every_state_column_has_its_check() -> None:
    found = {}
    for table in Base.metadata.tables.values():
        for constraint in table.constraints:
            if match := re.fullmatch(r"(\w+) IN \((.+)\)", str(getattr(constraint, "sqltext", ""))):
                found[f"{table.name}.{match[1]}"] = tuple(re.findall(r"'(\w[\w.]*)'", match[2]))
    assert found == TUPLES


def test_every_kind_of_operation_keeps_to_the_pattern_of_its_check() -> None:
    assert [kind for kind in operations.KINDS if not re.fullmatch(r"[a-z]+[.][a-z_]+", kind)] == []


HOSTILE_NAMES = ["shop", "a-b", "ab", "a" * 50, "a" * 51, "A-b", "a_b", "abc-", "abc\n", "", "\u0430bc", "x\0y", 'a"b']


@pytest.mark.parametrize("name", [*sorted(names.RESERVED | host_names.RESERVED), "dbhost-x", "dbhost", *HOSTILE_NAMES])
def test_the_name_rule_is_the_same_in_web_app_and_module(name: str) -> None:
    assert accepts(names.check_name, name) == accepts(host_names.require, name)


def accepts(check: Callable[[str], object], name: str) -> bool:
    try:
        check(name)
    except (ValidationFailed, TenantError):
        return False
    return True


def test_no_function_is_longer_than_sixty_lines() -> None:
    long = []
    for path in product_python():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > 60:
                    long.append(f"{path.relative_to(CHECKOUT)}:{node.name} {lines}")
    assert long == []


def test_no_file_is_longer_than_three_hundred_lines() -> None:
    long = [str(path) for path in product_python() if len(path.read_text(encoding="utf-8").splitlines()) > 300]
    assert long == []


def test_every_module_says_what_it_is_for() -> None:
    silent = []
    for path in product_python():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        # Ansible modules say it in DOCUMENTATION.
        if tree.body and not ast.get_docstring(tree) and "DOCUMENTATION" not in path.read_text(encoding="utf-8"):
            silent.append(str(path.relative_to(CHECKOUT)))
    assert silent == []


PLAYBOOKS = tracked("playbooks/*.yml")


@pytest.mark.parametrize("path", PLAYBOOKS, ids=lambda path: path.name)
def test_a_playbook_has_a_usage_line_and_no_handlers(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.search(r"^#\s+ansible-playbook playbooks/", text, re.MULTILINE)
    for play in yaml.safe_load(text):
        assert "handlers" not in play
        assert play["name"]
        assert play["hosts"] != "all"


@pytest.mark.parametrize("path", tracked("roles/*/tasks/*.yml"), ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_tasks_are_sentences_and_never_loop_over_tenants(path: Path) -> None:
    for task in flatten(yaml.safe_load(path.read_text(encoding="utf-8")) or []):
        assert re.match(r"(Ensure|Report|Refuse|Observe|Read|Include|Prove) ", task.get("name", "")), task
        for keyword in ("loop", "with_items"):
            assert not re.search(r"{{.*tenant_databases", str(task.get(keyword, ""))), task


def flatten(tasks: list[dict]) -> Iterator[dict]:  # type: ignore[type-arg]
    for task in tasks:
        yield task
        for block in ("block", "rescue", "always"):
            yield from flatten(task.get(block, []))


@pytest.mark.parametrize("path", sorted((CHECKOUT / "roles").iterdir()), ids=lambda path: path.name)
def test_a_role_documents_its_variables(path: Path) -> None:
    specs = yaml.safe_load((path / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
    documented = set(specs["argument_specs"]["main"]["options"])
    defaults = path / "defaults" / "main.yml"
    given = set(yaml.safe_load(defaults.read_text(encoding="utf-8")) or {}) if defaults.exists() else set()
    assert given <= documented


def test_the_workers_inventory_says_all_that_its_playbooks_ask_of_a_host() -> None:
    """Each variable that has a default in them is one that an operator may set in the inventory."""
    asked: set[str] = set()
    worker_roles = [path for path in (CHECKOUT / "roles").iterdir() if path.name.startswith(("tenant_", "pgbouncer_"))]
    playbooks = [path for path in PLAYBOOKS if path.name not in ("host.yml", "control_plane.yml")]
    for path in [*playbooks, *(file for role in worker_roles for file in role.glob("defaults/*.yml"))]:
        asked |= set(re.findall(r"\b(\w+) \| default\(", path.read_text(encoding="utf-8")))
    said = yaml.safe_load((CHECKOUT / "roles/control_plane/vars/main.yml").read_text())["control_plane_passed_on"]
    assert {name for name in asked if name.startswith(("dbhost_", "postgres_", "pgbouncer_"))} - set(said) == set()


def test_hosts_know_nothing_of_users() -> None:
    words = re.compile(r"\b(webapp|flask|sqlalchemy|stripe|api key|invoice|customer)\b", re.IGNORECASE)
    folders = ("playbooks", "roles", "agent_modules")
    files = [path for folder in folders for path in tracked(f"{folder}/*") if path.suffix in (".py", ".yml", ".j2")]
    files = [path for path in files if "control_plane" not in path.parts]  # the role that starts the web app
    found = [str(path) for path in files if words.search(path.read_text(encoding="utf-8"))]
    assert files
    assert found == []


def test_nothing_names_this_machine_or_a_registry() -> None:
    homes = "|".join(f"/{home}" for home in ("work/", r"root/\."))  # put together, so that this names none itself
    words = re.compile(rf"({homes}|\.pyenv/versions/3|--index-url|--extra-index-url|\"resolved\": \"http)")
    exempt = {Path(__file__), CHECKOUT / "dbhost"}
    found = []
    for path in tracked("*"):
        if path not in exempt and path.suffix not in (".woff2", ".png", ".ico", ".gz"):
            found += [f"{path}: {match[0]}" for match in [words.search(path.read_text("utf-8", "replace"))] if match]
    assert found == []


def test_the_roles_of_pgbouncer_speak_of_the_same_processes() -> None:
    found = []
    for role in ("pgbouncer", "pgbouncer_tenants"):
        defaults = yaml.safe_load((CHECKOUT / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8"))
        listed = defaults[f"{role}_listeners"]
        found.append([(one["name"], one["ini"], one["databases_file"]) for one in listed])
    assert found[0] == found[1]
