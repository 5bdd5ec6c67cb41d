"""Real clients through PgBouncer with the connection string as it was given, prepared statements included."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy import create_engine, text

from tests.support.stack import psql, run, tool

pytestmark = pytest.mark.stack


def test_the_answer_has_exactly_the_fields_of_the_contract(database: dict[str, Any]) -> None:
    fields = {
        "id",
        "name",
        "displayName",
        "host",
        "port",
        "directPort",
        "database",
        "username",
        "password",
        "status",
        "connectionString",
        "directConnectionString",
    }
    assert set(database) == fields
    assert (database["status"], database["database"], database["username"]) == (
        "active",
        database["name"],
        database["name"],
    )


def test_psql_creates_a_table_at_once(database: dict[str, Any]) -> None:
    psql(database["connectionString"], "create table t(i int)", "insert into t values (1), (2)")

    assert psql(database["connectionString"], "select sum(i) from t").stdout.strip() == "3"


def test_psycopg_with_prepared_statements(database: dict[str, Any]) -> None:
    with psycopg.connect(database["connectionString"], prepare_threshold=0) as connection:
        connection.execute("create table p(i int, t text)")
        for number in range(50):
            connection.execute("insert into p values (%s, %s)", (number, "x" * number))
        connection.commit()
        assert connection.execute("select count(*) from p where i < %s", (25,)).fetchone() == (25,)


def test_asyncpg_with_prepared_statements_in_a_pool(database: dict[str, Any]) -> None:
    async def work() -> list[int]:
        async with asyncpg.create_pool(database["connectionString"], min_size=4, max_size=4) as pool:
            return list(await asyncio.gather(*(pool.fetchval("select $1::int * 2", number) for number in range(40))))

    assert asyncio.run(work()) == [number * 2 for number in range(40)]


def test_sqlalchemy(database: dict[str, Any]) -> None:
    engine = create_engine(database["connectionString"].replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        connection.execute(text("create table s(i int primary key)"))
        connection.execute(text("insert into s values (:i)"), [{"i": number} for number in range(100)])
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from s")).scalar_one() == 100
    engine.dispose()


def test_pgbench_prepared(database: dict[str, Any]) -> None:
    program, env = tool("pgbench")

    run([program, "-i", "-s", "5", "-q", database["connectionString"]], env, timeout=120)
    done = run([program, "-M", "prepared", "-c", "4", "-t", "50", database["connectionString"]], env, timeout=120)

    assert "number of transactions actually processed: 200/200" in done.stdout


NODE = """
const { Client } = require('pg');
(async () => {
  const client = new Client({ connectionString: process.env.URL });
  await client.connect();
  await client.query('create table n(i int)');
  for (let i = 0; i < 20; i++) await client.query({ name: 'put', text: 'insert into n values ($1)', values: [i] });
  const text = 'select count(*)::int as c from n where i >= $1';
  const answer = await client.query({ name: 'count', text, values: [5] });
  console.log(JSON.stringify(answer.rows[0]));
  await client.end();
})().catch((error) => { console.error(error); process.exit(1); });
"""


def test_node_postgres(database: dict[str, Any], tmp_path: Path) -> None:
    assert shutil.which("npm"), "node-postgres is tested for real: install nodejs and npm"
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(tmp_path), "pg@8"],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (tmp_path / "try.js").write_text(NODE, encoding="utf-8")
    _, env = tool("psql")

    done = run(["node", "try.js"], env | {"URL": database["connectionString"]}, cwd=tmp_path, timeout=60)

    assert json.loads(done.stdout) == {"c": 15}
