"""Which PgBouncer is taken."""

import os
from pathlib import Path

import pytest

from webapp.embedded import pgbouncer, pgbouncer_patch, pgbouncer_source
from webapp.embedded.environment import Stack, StackError
from webapp.embedded.progress import Progress


def program(path: Path, says: str) -> Path:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("says", "good"),
    [
        ("PgBouncer 1.18.0", False),
        ("PgBouncer 1.20.1", False),
        ("PgBouncer 1.21.0", True),
        ("PgBouncer 1.24.1", True),
        ("PgBouncer 2.0.0", True),
        ("pgbouncer version 1.24", False),
        ("", False),
    ],
)
def test_the_floor_is_the_first_with_prepared_statements(tmp_path: Path, says: str, *, good: bool) -> None:
    assert pgbouncer.is_good(program(tmp_path / "pgbouncer", says)) is good


def test_one_that_does_not_run_is_none(tmp_path: Path) -> None:
    broken = tmp_path / "pgbouncer"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    assert pgbouncer.version(broken) is None
    assert pgbouncer.version(tmp_path / "missing") is None


def test_a_given_one_is_copied_and_replaced_by_a_newer_one(stack: Stack, tmp_path: Path) -> None:
    for told in ("PgBouncer 1.24.1", "PgBouncer 1.26.1"):
        given = program(tmp_path / "given", told)
        pgbouncer.ensure(stack, {"DBHOST_PGBOUNCER_BIN": str(given)}, Progress())
        assert stack.pgbouncer_executable.read_text() == given.read_text()
    assert [path.name for path in (stack.home / "bin").iterdir()] == ["pgbouncer"]


def test_a_given_one_that_is_too_old_is_refused_by_name(stack: Stack, tmp_path: Path) -> None:
    given = program(tmp_path / "given", "PgBouncer 1.18.0")
    with pytest.raises(StackError, match="DBHOST_PGBOUNCER_BIN"):
        pgbouncer.ensure(stack, {"DBHOST_PGBOUNCER_BIN": str(given)}, Progress())


def test_private_headers_link_libevent_in_whole(tmp_path: Path) -> None:
    library = tmp_path / "usr/lib/x86_64-linux-gnu/libevent.a"
    library.parent.mkdir(parents=True)
    library.touch()
    flags = pgbouncer_source.header_flags(tmp_path)
    assert flags["LIBEVENT_LIBS"] == str(library)
    assert f"-L{library.parent}" in flags["LDFLAGS"]
    assert pgbouncer_source.header_flags(None) == {}


@pytest.mark.slow
def test_a_library_that_cannot_be_had_leaves_the_sources_to_come_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    listing = tmp_path / "bin/ldd"
    listing.write_text("#!/bin/sh\necho '        libnobody.so.9 => not found'\n")
    listing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{listing.parent}:{os.environ['PATH']}")
    packaged = pgbouncer_source.packaged_program(tmp_path)
    assert packaged is None or packaged.exists()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The lines of PgBouncer's source that the patch is about, as in 1.24.1."""
    (tmp_path / "src").mkdir()
    (tmp_path / pgbouncer_patch.FILE).write_text("""
	if (!cval || !sval)
		return 0;
		if (strcmp(cval->str, "\\"\\"") == 0) {
		char *buf2 = malloc(sizeof(char)*len);
		snprintf(buf2, len, "SET %s=%s;", key, tmp);
""")
    (tmp_path / "configure").write_text("PACKAGE_VERSION='1.24.1'\nPACKAGE_STRING='PgBouncer 1.24.1'\nPACKAGE_URL=''\n")
    return tmp_path


def test_a_source_is_mended_once_and_says_so(source: Path) -> None:
    assert pgbouncer_patch.apply(source)
    text, script = (source / pgbouncer_patch.FILE).read_text(), (source / "configure").read_text()
    assert 'if (!*cval->str || strcmp(cval->str, "\\"\\"") == 0) {' in text
    assert "malloc(len + 1)" in text
    assert "snprintf(buf2, len + 1, " in text
    mark = pgbouncer_patch.MARK
    assert script == f"PACKAGE_VERSION='1.24.1{mark}'\nPACKAGE_STRING='PgBouncer 1.24.1{mark}'\nPACKAGE_URL=''\n"
    assert not pgbouncer_patch.apply(source)


def test_an_empty_path_that_newer_sources_leave_out_is_passed_on(source: Path) -> None:
    file = source / pgbouncer_patch.FILE
    file.write_text(file.read_text().replace("!sval)", "!sval || !*cval->str)"))
    assert pgbouncer_patch.apply(source)
    assert '(!*cval->str && strcasecmp(key, "search_path") != 0)' in file.read_text()


def test_an_unknown_source_stays_as_it_is(source: Path) -> None:
    (source / pgbouncer_patch.FILE).write_text("mended upstream")
    before = (source / "configure").read_text()
    assert not pgbouncer_patch.apply(source)
    assert (source / "configure").read_text() == before


MENDED = f"PgBouncer 1.24.1{pgbouncer_patch.MARK}"


def test_an_older_build_is_replaced_by_a_mended_one(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pgbouncer, "system_places", list)
    cached = program(tmp_path / "cached", MENDED)
    monkeypatch.setattr(pgbouncer, "cache", lambda: cached)
    program(stack.pgbouncer_executable, "PgBouncer 1.24.1")
    pgbouncer.ensure(stack, {}, Progress())
    assert pgbouncer.is_mended(stack.pgbouncer_executable)


def test_an_older_build_stays_where_none_can_be_made(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_progress: Progress) -> Path:
        raise StackError("no network")

    monkeypatch.setattr(pgbouncer, "system_places", list)
    monkeypatch.setattr(pgbouncer, "available", fails)
    program(stack.pgbouncer_executable, "PgBouncer 1.24.1")
    pgbouncer.ensure(stack, {}, Progress())
    assert pgbouncer.version(stack.pgbouncer_executable) == (1, 24, 1)
    stack.pgbouncer_executable.unlink()
    with pytest.raises(StackError):
        pgbouncer.ensure(stack, {}, Progress())


def test_the_systems_own_is_kept(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = program(tmp_path / "own", "PgBouncer 1.26.1")
    monkeypatch.setattr(pgbouncer, "system_places", lambda: [own])
    program(stack.pgbouncer_executable, "PgBouncer 1.26.1")
    pgbouncer.ensure(stack, {}, Progress())
    assert not pgbouncer.is_mended(stack.pgbouncer_executable)
