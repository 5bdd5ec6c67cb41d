"""A release is one file, named after what is in it."""

from __future__ import annotations

import tarfile
from pathlib import Path

from webapp import release


def test_it_holds_what_runs_and_nothing_else(tmp_path: Path) -> None:
    packed = release.pack(tmp_path, "1.2.3", wheels=False)
    with tarfile.open(packed) as archive:
        entries = {entry.name.partition("/")[2]: entry for entry in archive}
    assert {
        "dbhost",
        "requirements.txt",
        "webapp/serve.py",
        "playbooks/databases.yml",
        "roles/agent/tasks/main.yml",
    } <= set(entries)
    assert not [
        name for name in entries if name.startswith(("tests", ".git", ".venv", "docs")) or "__pycache__" in name
    ]
    assert {(entry.uid, entry.mode) for entry in entries.values()} == {(0, 0o755), (0, 0o644)}
    assert entries["dbhost"].mode == 0o755


def test_the_same_content_gives_the_same_file(tmp_path: Path) -> None:
    packed = release.pack(tmp_path, "1.2.3", wheels=False)
    written = packed.stat().st_mtime_ns
    assert release.pack(tmp_path, "1.2.3", wheels=False) == packed
    assert packed.stat().st_mtime_ns == written
    assert release.fingerprint(wheels=True, machine="x86_64") != release.fingerprint(wheels=True, machine="aarch64")
    assert [path.name for path in tmp_path.iterdir()] == [packed.name]
