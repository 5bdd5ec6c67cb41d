"""Messages of any size get through PgBouncer over TLS, also where one ends within a TLS record."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import Any

import asyncpg
import pytest

from agent_modules.module_utils.dbhost import pgbouncer_console
from tests.support.dataplane import DataPlane

ROUNDS = 12
EDGES = (4096, 8192, 16384, 32768, 65536, 131072)
TIMEOUT_S = 60


async def connect(dataplane: DataPlane, tenant: Any) -> asyncpg.Connection:
    """By asyncpg, which fills TLS records to their end, as Java does and libpq does not."""
    return await asyncpg.connect(
        host="127.0.0.1",
        port=dataplane.pgbouncer_port,
        user=tenant.name,
        password=tenant.password,
        database=tenant.name,
        ssl=ssl.create_default_context(cafile=str(dataplane.ca)),
    )


def sizes(seed: int) -> list[int]:
    """Lengths around those of buffers and TLS records, and a few from between."""
    chance = random.Random(seed)
    near = [max(1, chance.choice(EDGES) + chance.randint(-140, 140)) for _ in range(chance.randint(2, 9))]
    return [*near, chance.randint(1, 140_000)]


@pytest.mark.parametrize("seed", range(4))
def test_messages_of_any_size_are_answered(dataplane: DataPlane, shop: Any, seed: int) -> None:
    async def work() -> None:
        connection = await connect(dataplane, shop)
        for turn in range(ROUNDS):
            for size in sizes(seed * ROUNDS + turn):
                text = "y" * size
                assert await connection.fetchval("SELECT length($1::text)", text) == size
                assert await connection.fetchval(f"SELECT length('{text}') + $1::int", 1) == size + 1
        await connection.close()

    asyncio.run(asyncio.wait_for(work(), TIMEOUT_S))


def test_batches_of_rows_in_one_statement(dataplane: DataPlane, shop: Any) -> None:
    """What JDBC's reWriteBatchedInserts makes of a batch: one message that parses and one that binds, both large."""

    async def work() -> int:
        connection = await connect(dataplane, shop)
        await connection.execute("CREATE TABLE batch (id int, word text)")
        for rows in (128, 512, 1000, 1024):
            marks = ",".join(f"(${2 * row + 1}, ${2 * row + 2})" for row in range(rows))
            values = [value for row in range(rows) for value in (row, f"word {row}")]
            await connection.execute(f"INSERT INTO batch VALUES {marks}", *values)  # noqa: S608
        count: int = await connection.fetchval("SELECT count(*) FROM batch")
        await connection.close()
        return count

    assert asyncio.run(asyncio.wait_for(work(), TIMEOUT_S)) == 2664


def test_the_machines_authorities_are_not_read(dataplane: DataPlane) -> None:
    """PgBouncer has one thread: while it parses what no client needs, it serves nobody."""
    socket_dir = str(dataplane.console_dir)
    with (
        pgbouncer_console.acting_as_owner(socket_dir),
        pgbouncer_console.Console(socket_dir, dataplane.pgbouncer_port) as console,
    ):
        config = {row["key"]: row["value"] for row in console.show("CONFIG")}
    assert config["client_tls_ca_file"] == config["client_tls_cert_file"]
