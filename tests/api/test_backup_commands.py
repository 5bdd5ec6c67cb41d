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
