"""Count the tasks of a playbook, so that progress can say "step n of m" from the start."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SECTIONS = ("pre_tasks", "tasks", "post_tasks")
IMPORTS = ("ansible.builtin.import_role", "import_role")


def count(playbook: Path, roles: Path) -> int:
    """How many tasks *playbook* runs on a host, each role's check of its arguments included."""
    plays = yaml.safe_load(playbook.read_text(encoding="utf-8"))
    return sum(count_play(play, roles) for play in plays)


def count_play(play: Mapping[str, Any], roles: Path) -> int:
    """The tasks of one play and of its roles."""
    own = sum(count_task(task, roles) for section in SECTIONS for task in play.get(section) or ())
    names = [role["role"] if isinstance(role, Mapping) else role for role in play.get("roles") or ()]
    return own + sum(count_role(roles / str(name), "main") for name in names)


def count_task(task: Mapping[str, Any], roles: Path) -> int:
    """One, or as many as the imported role's file has."""
    for name in IMPORTS:
        if name in task:
            options = task[name]
            checked = options.get("rolespec_validate", True)
            return count_role(roles / str(options["name"]), str(options.get("tasks_from", "main")), checked=checked)
    return 1


def count_role(role: Path, entry: str, *, checked: bool = True) -> int:
    """The tasks of one file of a role; Ansible puts one in front when the entry has an argument spec to check."""
    tasks = yaml.safe_load((role / "tasks" / f"{entry}.yml").read_text(encoding="utf-8")) or []
    return len(tasks) + (checked and has_argument_spec(role, entry))


def has_argument_spec(role: Path, entry: str) -> bool:
    """Whether the role says what its entry point takes."""
    file = role / "meta" / "argument_specs.yml"
    return file.exists() and entry in yaml.safe_load(file.read_text(encoding="utf-8"))["argument_specs"]
