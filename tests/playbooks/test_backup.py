"""playbooks/backup.yml as an operator runs it, by hand and with a file that says what to dump."""

import gzip
import json
import re
import secrets
import uuid

import pytest
import yaml

from tests.support.ansible_output import told
from tests.support.dataplane import verifier


@pytest.fixture
def shop(dataplane):
    """The name of a shop's database with a table, gone again after the test."""
    name = f"shop-{secrets.token_hex(4)}"
    dataplane.converge({"name": name, "generation": 1, "verifier": verifier("secret")})
    with dataplane.connect(name, "secret") as connection:
        connection.execute("CREATE TABLE goods AS SELECT generate_series(1, 1000) AS id")
    yield name
    dataplane.converge({"name": name, "state": "absent"})


def play(dataplane, backup, *options):
    variables = dataplane.folder / "backup.yml"
    variables.write_text(yaml.safe_dump({"tenant_backup": backup}))
    return dataplane.run_playbook("backup.yml", *options, "-e", f"@{variables}")


def report(run):
    return told(run.stdout, "Report the backup")


def changed(run):
    assert run.returncode == 0, run.stdout + run.stderr
    return int(re.findall(r"changed=(\d+)", run.stdout)[0])


def item(name, **changes):
    return {"name": name, "folder": str(uuid.uuid4()), "filename": "20261124_020000.sql.gz", **changes}


def test_check_run_and_again(dataplane, shop):
    backup = item(shop)
    path = dataplane.state_dir / "backups" / backup["folder"] / backup["filename"]
    assert changed(play(dataplane, backup, "--check")) > 0
    assert not path.exists()
    first = play(dataplane, backup, "-v")
    assert changed(first) > 0
    found = report(first)["backup"]
    assert gzip.decompress(path.read_bytes()).count(b"\n") > 1000
    assert path.owner() == dataplane.user
    assert found["manifest"]["tables_rows"] == {"public.goods": 1000}
    assert (found["size_bytes"], found["error"]) == (path.stat().st_size, None)
    again = play(dataplane, backup, "-v")
    assert changed(again) == 0
    assert found.pop("changes") == [f"Back up to {backup['filename']}"]
    assert report(again)["backup"] == found


def test_a_failure_says_why_in_the_same_form(dataplane):
    run = play(dataplane, item("nobody-here"), "-v")
    assert run.returncode != 0
    found = report(run)["backup"]
    assert (found["name"], found["error"]["code"]) == ("nobody-here", "not_readable")


def test_a_signed_address_is_in_no_output(dataplane, shop):
    upload = {"part_size": 1024, "part_urls": ["gopher://127.0.0.1/?X-Amz-Signature=canary-4711"]}
    runs = [
        play(dataplane, item(shop, store="upload", upload=upload), *options, "-vvv", "--diff")
        for options in ([], ["--check"])
    ]
    assert report(runs[0])["backup"]["error"]["code"] == "invalid_url"
    assert [run.returncode for run in runs] == [2, 0]
    assert "canary-4711" not in "".join(run.stdout + run.stderr for run in runs)
    assert list((dataplane.state_dir / "jobs").iterdir()) == []


def load(dataplane, restore, *options):
    variables = dataplane.folder / "restore.yml"
    variables.write_text(yaml.safe_dump({"tenant_restore": restore}))
    return dataplane.run_playbook("restore.yml", *options, "-e", f"@{variables}")


def test_a_file_from_the_controller_is_restored(dataplane, shop, tmp_path):
    file = tmp_path / "mine.sql"
    file.write_text("CREATE TABLE mine AS SELECT generate_series(1, 10) AS id;\n")
    restore = {"name": shop, "into": "replace", "source": {"kind": "file", "path": str(file)}}
    assert changed(load(dataplane, restore, "--check")) > 0
    with dataplane.connect(shop, "secret") as connection:
        assert connection.execute("SELECT to_regclass('mine')").fetchone() == (None,)
    run = load(dataplane, restore, "-v")
    assert changed(run) > 0
    assert (dataplane.state_dir / "incoming").owner() == dataplane.user
    found = told(run.stdout, "Report the restore")
    assert found["restore"]["manifest"]["tables_rows"] == {"public.mine": 10}
    assert (found["restore"]["into"], found["restore"]["matches"], found["restore"]["error"]) == ("replace", None, None)
    assert found["bytes_done"] == file.stat().st_size
    with dataplane.connect(shop, "secret") as connection:
        assert connection.execute("SELECT count(*) FROM mine").fetchone() == (10,)
    assert list((dataplane.state_dir / "incoming").iterdir()) == []


def test_no_key_or_address_of_a_restore_is_in_any_output(dataplane, shop):
    source = {"kind": "url", "url": "http://127.0.0.1:1/?X-Amz-Signature=canary-4711", "age_identity": "canary-4712"}
    run = load(dataplane, {"name": shop, "into": "scratch", "source": source}, "-vvv", "--diff")
    assert run.returncode == 2
    assert "not_fetched" in run.stdout
    assert "canary-471" not in run.stdout + run.stderr


def keep(dataplane, files, *options):
    variables = dataplane.folder / "files.yml"
    variables.write_text(yaml.safe_dump({"tenant_backup_files": files}))
    return dataplane.run_playbook("backup_files.yml", *options, "-e", f"@{variables}")


def test_files_are_fetched_and_deleted(dataplane, shop, tmp_path):
    backup = item(shop)
    play(dataplane, backup)
    place = {"folder": backup["folder"], "filename": backup["filename"]}
    path = dataplane.state_dir / "backups" / backup["folder"] / backup["filename"]
    data = path.read_bytes()
    run = keep(dataplane, {"fetch": {**place, "to": str(tmp_path / "mine.gz")}, "absent": [place]}, "--check")
    assert changed(run) == 1
    assert path.exists()
    assert changed(keep(dataplane, {"fetch": {**place, "to": str(tmp_path / "mine.gz")}})) == 1
    assert (tmp_path / "mine.gz").read_bytes() == data
    assert changed(keep(dataplane, {"absent": [place]})) == 1
    assert not path.parent.exists()
    missing = keep(dataplane, {"fetch": {**place, "to": str(tmp_path / "other.gz")}, "absent": [place]}, "-v")
    assert missing.returncode == 2
    assert '"code": "no_such_file"' in missing.stdout


def test_no_file_outside_the_store_is_touched(dataplane, tmp_path):
    for files in (
        {"absent": [{"folder": "../../../../..", "filename": "20261124_020000.sql.gz"}]},
        {"fetch": {"folder": "../../../../../etc", "filename": "passwd", "to": str(tmp_path / "passwd")}},
    ):
        run = keep(dataplane, files, "-v")
        assert (run.returncode, '"code": "invalid_place"' in run.stdout) == (2, True)
    assert not (tmp_path / "passwd").exists()


def test_activity_is_as_in_the_dump_until_somebody_writes(dataplane, shop):
    def look(name):
        variables = json.dumps({"tenant_activity": {"name": name}})
        return dataplane.run_playbook("activity.yml", "-v", "-e", variables)

    dataplane.converge({"name": shop, "generation": 2, "state": "closed", "verifier": verifier("secret")})
    dumped = report(play(dataplane, item(shop), "-v"))["backup"]["manifest"]["activity"]
    looked = look(shop)
    assert changed(looked) == 0
    assert told(looked.stdout, "Report the activity")["activity"] == {
        "name": shop, "sessions": 0, "activity": dumped, "error": None,
    }  # fmt: skip
    with dataplane.superuser(shop) as connection:
        connection.execute("DELETE FROM goods")
    assert told(look(shop).stdout, "Report the activity")["activity"]["activity"] != dumped
    nobody = told(look("nobody-here").stdout, "Report the activity")["activity"]
    assert (nobody["name"], nobody["error"]["code"]) == ("nobody-here", "not_readable")
