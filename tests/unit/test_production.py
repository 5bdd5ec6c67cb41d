"""The control plane's secrets on its own host."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import psycopg

from webapp.production import Place, Readers, ensure_secrets

MINE = grp.getgrgid(os.getegid()).gr_name
PLACE = Place("db1.example.net", 6432, 5432, "/etc/dbhost/ca.crt")
READERS = Readers(web=MINE, worker=MINE)


def test_they_are_made_once(tmp_path: Path) -> None:
    assert len(ensure_secrets(tmp_path, PLACE, READERS)) == 6
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert ensure_secrets(tmp_path, PLACE, READERS) == []
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before


def test_nobody_but_their_readers_may_read_them(tmp_path: Path) -> None:
    ensure_secrets(tmp_path, PLACE, READERS)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert {name for name, mode in modes.items() if mode == 0o600} == {"control_password", "control_verifier"}
    assert set(modes.values()) == {0o600, 0o640}


def test_a_changed_place_or_mode_is_put_right_and_keys_stay(tmp_path: Path) -> None:
    ensure_secrets(tmp_path, PLACE, READERS)
    keys, verifier = ((tmp_path / name).read_text() for name in ("encryption_keys", "control_verifier"))
    (tmp_path / "worker_database_url").chmod(0o644)
    moved = Place("db2.example.net", 6432, 5432, "/etc/dbhost/ca.crt")
    assert ensure_secrets(tmp_path, moved, READERS) == ["web_database_url", "worker_database_url"]
    assert (tmp_path / "worker_database_url").stat().st_mode & 0o777 == 0o640
    assert [(tmp_path / name).read_text() for name in ("encryption_keys", "control_verifier")] == [keys, verifier]


def test_the_web_process_checks_the_certificate_and_leaves_no_name_to_look_up(tmp_path: Path) -> None:
    ensure_secrets(tmp_path, PLACE, READERS)
    url = psycopg.conninfo.conninfo_to_dict((tmp_path / "web_database_url").read_text().strip())
    assert (url["host"], url["hostaddr"], url["sslmode"]) == ("db1.example.net", "127.0.0.1", "verify-full")
    direct = psycopg.conninfo.conninfo_to_dict((tmp_path / "worker_database_url").read_text().strip())
    assert (direct["host"], direct["port"], direct["password"]) == ("127.0.0.1", "5432", url["password"])
