"""pg_dump and what it writes go through the connection string as it is, while the database is in use."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.dataplane import DataPlane
from tests.support.servers import pgbouncer_executable, postgres_tool
from webapp.embedded import pgbouncer

DUMPS = 12
MENDED = pgbouncer.is_mended(Path(pgbouncer_executable()))
PATHS = ["app, public", "app", '"$user", public']
# What only a PgBouncer that we built passes on.
PATHS += ["", ", ".join(f"schema_with_a_long_name_{n}" for n in range(40))] if MENDED else []


def tool(name: str, *arguments: str, **more: Any) -> subprocess.CompletedProcess[str]:
    library = str(Path(postgres_tool(name)).parents[1] / "lib")
    environment = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": library}
    command = [postgres_tool(name), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **more)


@contextlib.contextmanager
def in_use(url: str) -> Iterator[None]:
    """Meanwhile pgbench has more clients than there are server connections."""
    library = str(Path(postgres_tool("pgbench")).parents[1] / "lib")
    command = [postgres_tool("pgbench"), "-c", "8", "-M", "prepared", "-N", "-n", "-T", "3600", url]
    process = subprocess.Popen(
        command,
        env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": library},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield
            assert process.poll() is None, process.stderr and process.stderr.read()
        finally:
            process.kill()


@pytest.fixture
def busy(dataplane: DataPlane, tenants: Any) -> Any:
    """A tenant with pgbench's tables, and a view whose definition says more under another search path."""
    tenant = tenants()
    dataplane.converge(tenant.item())
    made = tool("pgbench", "-i", "-q", dataplane.url(tenant.name, tenant.password))
    assert made.returncode == 0, made.stderr
    with dataplane.connect(tenant.name, tenant.password) as connection:
        connection.execute("CREATE SCHEMA app")
        connection.execute(
            "CREATE VIEW app.wide AS SELECT b.*, a.abalance FROM pgbench_branches b JOIN pgbench_accounts a USING (bid)"
        )
    return tenant


def test_dumps_of_a_busy_database_at_the_pooled_door(dataplane: DataPlane, busy: Any, tenants: Any) -> None:
    url = dataplane.url(busy.name, busy.password)
    with in_use(url), ThreadPoolExecutor(3) as pool:
        runs = list(pool.map(lambda _: tool("pg_dump", "-O", "-x", url), range(DUMPS)))
    good = [run for run in runs if run.returncode == 0]
    if MENDED:
        assert [run.stderr for run in runs] == [""] * DUMPS
    else:  # a PgBouncer that was not built by us says so, and writes nothing wrong
        assert all("invalid server parameter" in run.stderr for run in runs if run not in good)
    for run in good:
        assert "FROM (public.pgbench_branches b" in run.stdout  # under another path it would be without its schema


@pytest.mark.parametrize("door", ["direct", *(["pooled"] if MENDED else [])])
def test_a_dump_is_loaded_by_psql_and_by_parallel_jobs(
    dataplane: DataPlane, busy: Any, tenants: Any, tmp_path: Path, door: str
) -> None:
    port = {"direct": dataplane.direct_port, "pooled": dataplane.pgbouncer_port}[door]
    url = dataplane.url(busy.name, busy.password, port=port)
    with in_use(dataplane.url(busy.name, busy.password)):
        dumped = tool("pg_dump", "-O", "-x", "-Fd", "-f", str(tmp_path / "dump"), url)
    assert (dumped.returncode, dumped.stderr) == (0, "")
    text = tool("pg_restore", "-O", "-x", "-f", "-", str(tmp_path / "dump")).stdout
    for loads in (("pg_restore", "-O", "-x", "-j", "4", "-d"), ("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1")):
        other = tenants()
        dataplane.converge(other.item())
        to = dataplane.url(other.name, other.password, port=port)
        given = (to, str(tmp_path / "dump")) if loads[0] == "pg_restore" else (to,)
        loaded = tool(*loads, *given, **({} if loads[0] == "pg_restore" else {"input": text}))
        assert (loaded.returncode, loaded.stderr) == (0, "")
        with dataplane.connect(other.name, other.password) as connection:
            assert connection.execute("SELECT count(*) FROM public.pgbench_accounts").fetchone() == (100_000,)


def test_each_client_keeps_its_search_path(dataplane: DataPlane, tenants: Any) -> None:
    """With one server connection for all of them, whatever the path is."""
    shop = tenants()
    dataplane.converge(shop.item(pool_size=1))
    with contextlib.ExitStack() as stack:
        clients = {path: stack.enter_context(dataplane.connect(shop.name, shop.password)) for path in PATHS}
        for path, client in clients.items():
            client.execute("SELECT set_config('search_path', %s, false)", [path])
        for path, client in (*clients.items(), *clients.items()):
            assert client.execute("SHOW search_path").fetchone() in ((path,), (path or '""',))
