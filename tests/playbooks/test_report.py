"""playbooks/report.yml as an operator runs it: it says what is there, and changes nothing."""

import re
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.ansible_output import told
from tests.support.dataplane import DataPlane, running, verifier

PARTS = {"system", "disks", "memory", "load", "certificate_expires_at", "postgres", "pgbouncer", "databases"}


def report(run: subprocess.CompletedProcess[str]) -> dict:  # type: ignore[type-arg]
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"changed=0 .*failed=0", run.stdout)
    return told(run.stdout, "Report the host")["report"]


def look(dataplane: DataPlane, *arguments: str) -> dict:  # type: ignore[type-arg]
    return report(dataplane.run_playbook("report.yml", "-v", *arguments))


def of(found: dict, name: str) -> dict:  # type: ignore[type-arg]
    [entry] = [item for item in found["databases"] if item["name"] == name]
    return entry


def test_what_is_there_is_reported(dataplane: DataPlane, shop: str) -> None:
    started = datetime.now(UTC) - timedelta(seconds=2)
    with dataplane.connect(shop, "secret") as client:
        client.execute("CREATE TABLE goods AS SELECT generate_series(1, 200000) AS id")
        found = look(dataplane)
    assert found["problems"] == []
    assert {part for part in PARTS if not found[part]} == set()
    entry = of(found, shop)
    assert entry["size_bytes"] > 12_000_000
    assert (entry["clients_active"], entry["clients_waiting"]) == (1, 0)
    assert entry["transactions"] >= 1
    assert entry["blocks_hit"] > 0
    assert datetime.fromisoformat(entry["last_connection_at"]) >= started
    assert found["pgbouncer"]["clients_active"] >= 1
    assert {disk["purpose"] for disk in found["disks"]} == {"data", "wal"}
    assert all(0 < disk["free_bytes"] < disk["total_bytes"] for disk in found["disks"])


def test_the_certificate_is_the_one_that_clients_see(dataplane: DataPlane) -> None:
    found = look(dataplane)
    left = datetime.fromisoformat(found["certificate_expires_at"]) - datetime.now(UTC)
    assert datetime.fromisoformat(found["certificate_begins_at"]) <= datetime.now(UTC)
    assert timedelta(hours=23) < left < timedelta(hours=25)


@pytest.mark.parametrize(("name", "content"), [("ca.crt", None), ("ca.crt", "broken"), ("server.key", None)])
def test_a_certificate_that_the_next_start_will_not_find_is_told(
    dataplane: DataPlane, name: str, content: str | None
) -> None:
    """The old one is served meanwhile."""
    file = dataplane.folder / name
    kept = file.rename(file.with_suffix(".kept"))
    try:
        if content:
            file.write_text(content)
        found = look(dataplane)
    finally:
        kept.rename(file)
    assert [problem["part"] for problem in found["problems"]] == ["certificate"]
    assert found["certificate_expires_at"]
    assert look(dataplane)["problems"] == []


def test_check_mode_reports_the_same(dataplane: DataPlane, shop: str) -> None:
    assert of(look(dataplane, "--check"), shop)["size_bytes"] > 0


def test_sizes_of_stopped_databases_are_known(dataplane: DataPlane, shop: str) -> None:
    dataplane.converge({"name": shop, "generation": 2, "state": "stopped", "verifier": verifier("secret")})
    entry = of(look(dataplane), shop)
    assert entry["size_bytes"] > 1_000_000
    assert entry["clients_active"] == 0


def test_only_the_provisioners_own_databases_are_listed(dataplane: DataPlane, shop: str) -> None:
    names = {item["name"] for item in look(dataplane)["databases"]}
    assert shop in names
    assert not names & {"postgres", "template0", "template1"}


def test_neither_clients_nor_their_statements_are_in_it(dataplane: DataPlane, shop: str) -> None:
    with dataplane.connect(shop, "secret") as client:
        client.execute("SELECT 'canary-4711'")
        run = dataplane.run_playbook("report.yml", "-vvv")
    assert "canary-4711" not in run.stdout
    assert "SCRAM-SHA-256$" not in run.stdout
    assert not set(of(report(run), shop)) & {"addr", "user", "query"}


def test_a_part_that_is_down_is_named_and_the_rest_is_there() -> None:
    with running() as plane:
        for program in ("pgbouncer", "postgres"):
            process = plane.processes[program]
            process.kill()
            process.wait(10)
            found = look(plane)
            assert program in {problem["part"] for problem in found["problems"]}
            assert found[program] is None
            assert found["memory"]["total_bytes"] > 0
            assert found["certificate_expires_at"] is None
    assert found["databases"] is None
