"""`dbhost backups …`, `databases clone`, `deleted` and `undelete` against the API, served over HTTP."""

import json
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from tests.api.commands import run
from tests.support.rows import DUMP, make_backup
from webapp.models import Backup, Database

pytestmark = pytest.mark.usefixtures("logged_in", "worker")


def test_create_list_and_delete(shop: Database) -> None:
    created = run("backups", "create", "shop")
    assert created.exit_code == 0, created.output
    filename = created.stdout.strip()
    listed = json.loads(run("backups", "list", "shop", "--json").stdout)
    assert [row["filename"] for row in listed] == [filename]
    assert filename in run("backups", "list", "shop").stdout
    assert run("backups", "delete", "shop", filename, "--yes").exit_code == 0
    assert run("backups", "download", "shop").exit_code == 4


@pytest.mark.parametrize("copied", [True, False])
def test_download_checks_what_it_gets(shop: Database, session: Session, tmp_path: Path, copied: bool) -> None:
    backup = make_backup(session, shop, copied=copied)
    target = tmp_path / "here.sql.gz"
    done = run("backups", "download", "shop", backup.filename, "-o", str(target))
    assert (done.exit_code, done.stdout.strip()) == (0, str(target)), done.output
    assert target.read_bytes() == DUMP
    assert [path.name for path in tmp_path.glob(".*.part")] == []


def test_a_damaged_download_is_refused(shop: Database, session: Session, tmp_path: Path) -> None:
    backup = make_backup(session, shop, sha256="0" * 64)
    target = tmp_path / "here.sql.gz"
    done = run("backups", "download", "shop", backup.filename, "-o", str(target))
    assert (done.exit_code, target.exists()) == (1, False)
    assert "checksum" in done.output


def test_restore_and_import(shop: Database, backup: Backup, tmp_path: Path) -> None:
    restored = run("backups", "restore", "shop", backup.filename, typed="y\n")
    assert (restored.exit_code, backup.filename in restored.stdout) == (0, True), restored.output
    dump = tmp_path / "dump.sql"
    dump.write_bytes(b"SELECT 1;")
    imported = run("backups", "import", "shop", str(dump), "--yes")
    assert imported.exit_code == 0, imported.output
    refused = run("backups", "restore", "shop", "20200101_000000.sql.gz", "--yes")
    assert (refused.exit_code, "BACKUP_NOT_FOUND" in refused.output) == (4, True)


def test_clone_delete_and_undelete(shop: Database, backup: Backup, session: Session) -> None:
    cloned = run("databases", "clone", "shop", "copy", "--backup", backup.filename)
    assert cloned.exit_code == 0, cloned.output
    assert cloned.stdout.startswith("postgresql://copy:")
    assert run("databases", "delete", "shop", "--yes").exit_code == 0
    assert "shop" in run("databases", "deleted").stdout
    back = run("databases", "undelete", "shop", "--name", "shop-two", "--json")
    assert back.exit_code == 0, back.output
    assert json.loads(back.stdout)["name"] == "shop-two"


def test_schedule_is_shown_and_changed(shop: Database) -> None:
    shown = run("backups", "schedule", "shop")
    assert (shown.exit_code, "every 24 hours from 02:00 UTC" in shown.stdout) == (0, True), shown.output
    changed = json.loads(run("backups", "schedule", "shop", "--hour", "5", "--every", "12", "--json").stdout)
    assert (changed["enabled"], changed["hourUtc"], changed["everyHours"], changed["retentionDays"]) == (
        True,
        5,
        12,
        30,
    )
    assert changed["nextRunAt"][11:13] in ("05", "17")
    off = run("backups", "schedule", "shop", "--off", "--keep-days", "7")
    assert "Not backed up by itself; backups are kept for 7 days" in off.stdout, off.output
    for option, value in (("--hour", "24"), ("--every", "7"), ("--keep-days", "0"), ("--keep-days", "3000")):
        refused = run("backups", "schedule", "shop", option, value)
        assert refused.exit_code != 0
        assert "VALIDATION_ERROR" in refused.output or "PLAN_LIMIT" in refused.output, refused.output
    assert json.loads(run("backups", "schedule", "shop", "--json").stdout)["hourUtc"] == 5


def test_a_protected_database_is_not_deleted(shop: Database) -> None:
    assert run("databases", "protect", "shop").exit_code == 0
    refused = run("databases", "delete", "shop", "--yes")
    assert (refused.exit_code != 0, "DELETE_PROTECTED" in refused.output) == (True, True), refused.output
    assert run("databases", "protect", "shop", "--off").exit_code == 0
    assert run("databases", "delete", "shop", "--yes").exit_code == 0


def test_what_is_encrypted_is_listed_so(shop: Database, session: Session) -> None:
    make_backup(session, shop, encrypted=True)
    assert "manual, encrypted" in run("backups", "list", "shop").stdout
