"""Drift made by hand is found by `converge --check`, which changes nothing, and healed by `converge`."""

from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.support.stack import Stack, psql

pytestmark = pytest.mark.stack


def test_drift_is_found_and_healed(stack: Stack, database: dict[str, Any]) -> None:
    assert "changed=0" in stack.dbhost("converge", "--check").stdout
    with stack.provisioner() as connection:
        connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(database["name"])))

    found = stack.dbhost("converge", "--check").stdout

    assert "changed=0" not in found
    assert f'ALTER ROLE "{database["name"]}" LOGIN' in found
    with pytest.raises(psycopg.OperationalError), psycopg.connect(database["connectionString"]):
        pass
    stack.dbhost("converge")
    assert psql(database["connectionString"], "select 1").stdout.strip() == "1"
    assert "changed=0" in stack.dbhost("converge", "--check").stdout


def test_an_unknown_host_is_a_sentence(stack: Stack) -> None:
    done = stack.dbhost("converge", "--host", "nowhere", check=False)

    assert done.returncode == 1
    assert "There is no host nowhere. Known: local." in done.stderr
