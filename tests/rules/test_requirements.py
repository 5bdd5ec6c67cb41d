"""What the code imports is asked for by name: a package that comes only with another may go with it."""

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
OURS = {"webapp", "agent_modules", "tests"}
# Ansible puts modules and their utilities there; stubs are for the type checker alone.
PROVIDED = {"ansible_collections", "mypy_boto3_s3"}


def test_every_import_is_required() -> None:
    distributions = packages_distributions()
    required = names("requirements.in")
    missing = {
        f"{path.relative_to(CHECKOUT)}: {name}"
        for folder in ("webapp", "agent_modules")
        for path in (CHECKOUT / folder).rglob("*.py")
        for name in set(imports(path)) - OURS - PROVIDED - set(sys.stdlib_module_names)
        if not {normal(one) for one in distributions.get(name, [name])} & required
    }
    assert missing == set()


def test_what_is_required_is_locked() -> None:
    for listed, lock in (("requirements.in", "requirements.txt"), ("requirements-dev.in", "requirements-dev.txt")):
        assert names(listed) <= names(lock), listed


def names(listed: str) -> set[str]:
    lines = (CHECKOUT / listed).read_text(encoding="utf-8").splitlines()
    found = (re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line) for line in lines)
    return {normal(name.group()) for name in found if name}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
