"""playbooks/backups.yml as an operator runs it: several databases, each with a result of its own."""

import gzip
import re
import secrets
import uuid

import pytest
import yaml

from tests.support.ansible_output import told
from tests.support.dataplane import DataPlane, verifier

FILENAME = "20261124_020000.sql.gz"
type Item = dict[str, str]


@pytest.fixture
def items(dataplane: DataPlane):
    """What to dump of two databases with a table each, gone again after the test."""
    names = [f"shop-{secrets.token_hex(4)}" for _ in range(2)]
    dataplane.converge(*({"name": name, "generation": 1, "verifier": verifier("secret")} for name in names))
    for name in names:
        with dataplane.connect(name, "secret") as connection:
            connection.execute("CREATE TABLE goods AS SELECT generate_series(1, 1000) AS id")
    yield [{"name": name, "folder": str(uuid.uuid4()), "filename": FILENAME} for name in names]
    dataplane.converge(*({"name": name, "state": "absent"} for name in names))


def play(dataplane: DataPlane, items: list[Item], *options: str):
    variables = dataplane.folder / "backups.yml"
    variables.write_text(yaml.safe_dump({"tenant_backups": items}))
    run = dataplane.run_playbook("backups.yml", *options, "-v", "-e", f"@{variables}")
    return run, told(run.stdout, "Report the backups")["batch"]


def changed(run) -> int:
    return int(re.findall(r"changed=(\d+)", run.stdout)[0])


def rows(dataplane: DataPlane, item: Item) -> int:
    path = dataplane.state_dir / "backups" / item["folder"] / item["filename"]
    return gzip.decompress(path.read_bytes()).count(b"\n")


def test_check_run_and_again(dataplane: DataPlane, items: list[Item]) -> None:
    run, _ = play(dataplane, items, "--check")
    assert (run.returncode, changed(run) > 0) == (0, True)
    assert not any((dataplane.state_dir / "backups" / item["folder"]).exists() for item in items)
    run, found = play(dataplane, items)
    assert (run.returncode, changed(run) > 0) == (0, True)
    assert [backup["manifest"]["tables_rows"] for backup in found["backups"]] == [{"public.goods": 1000}] * 2
    assert all(rows(dataplane, item) > 1000 for item in items)
    for options in ([], ["--check"]):
        run, again = play(dataplane, items, *options)
        assert (run.returncode, changed(run)) == (0, 0)
        assert [backup["sha256"] for backup in again["backups"]] == [backup["sha256"] for backup in found["backups"]]


def test_what_was_broken_in_the_middle_is_made_again(dataplane: DataPlane, items: list[Item]) -> None:
    """One file is cut, as by a crash, with half of another beside it; the next run mends that and leaves the rest."""
    play(dataplane, items)
    cut, whole = (dataplane.state_dir / "backups" / item["folder"] / FILENAME for item in items)
    cut.write_bytes(cut.read_bytes()[:100])
    half = cut.with_name(f".{FILENAME}.partial")
    half.write_bytes(b"half")
    before = whole.stat()
    run, found = play(dataplane, items)
    assert (run.returncode, changed(run) > 0) == (0, True)
    assert [backup["error"] for backup in found["backups"]] == [None, None]
    assert rows(dataplane, items[0]) > 1000
    assert not half.exists()
    assert whole.stat() == before


def test_one_that_fails_holds_no_other_back(dataplane: DataPlane, items: list[Item]) -> None:
    nobody = {**items[0], "name": "nobody-here"}
    invalid = {**items[0], "name": "Not A Name"}
    run, found = play(dataplane, [nobody, invalid, items[1]])
    assert run.returncode == 2
    codes = [backup["error"] and backup["error"]["code"] for backup in found["backups"]]
    assert codes == ["no_database", "no_database", None]
    assert rows(dataplane, items[1]) > 1000
    assert not (dataplane.state_dir / "backups" / items[0]["folder"]).exists()
