"""The table of shared resources in SECURITY.md names tests that there are, and a bound for each resource."""

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
HEADING = "## What all share, and what bounds it"


def rows() -> list[list[str]]:
    text = (CHECKOUT / "SECURITY.md").read_text(encoding="utf-8")
    part = text.partition(HEADING)[2].partition("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_each_resource_has_a_bound_and_a_test_that_is_there(row: list[str]) -> None:
    resource, taker, bound, _at_the_bound, named = row
    assert all((resource, taker, bound))
    found = re.fullmatch(r"`(tests/[a-z_/]+[.]py)::(test_[a-z_]+)`", named)
    assert found, f"No test is named for: {resource}"
    tree = ast.parse((CHECKOUT / found[1]).read_text(encoding="utf-8"))
    assert found[2] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_what_the_watchdog_does_is_in_the_table() -> None:
    assert len(rows()) >= 10
