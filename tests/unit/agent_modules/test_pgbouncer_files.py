"""PgBouncer's files: what comes out for any store, and that they are replaced whole."""

import os
import shlex

from hypothesis import given
from hypothesis import strategies as st

from agent_modules.module_utils.dbhost import doors, files, listeners, pgbouncer_files, scram
from agent_modules.module_utils.dbhost.store import OPEN, Entry

VERIFIER = scram.build(b"secret", b"0123456789abcdef")
NAMES = st.from_regex(r"\A[a-z][a-z0-9-]{1,20}[a-z0-9]\Z")
NETWORKS = st.one_of(st.ip_addresses().map(lambda address: f"{address}/{address.max_prefixlen}"))
OPENED = st.builds(
    Entry,
    door=st.just(OPEN),
    verifier=st.just(VERIFIER),
    pool_size=st.integers(1, 100),
    pool_mode=st.sampled_from(["session", "transaction"]),
    networks=st.lists(NETWORKS, max_size=3, unique=True).map(tuple),
)
STORES = st.dictionaries(NAMES, OPENED | OPENED.map(doors.closed) | st.just(Entry()), max_size=8)
BACKEND = pgbouncer_files.Backend("127.0.0.1", 5433)
LISTENERS = listeners.of_options({"socket_dir": "/nowhere", "config_dir": "/nowhere", "port": 6432})


def lines(text):
    return [line for line in text.splitlines() if line and line[0] not in ";#["]


@given(STORES)
def test_each_open_tenant_has_its_own_lines_and_nobody_else_any(store):
    contents = pgbouncer_files.render(store, BACKEND, LISTENERS)
    opened = {name for name, entry in store.items() if entry.door == OPEN}
    assert {line.split(" = ")[0] for line in lines(contents["databases.ini"])} == opened
    for line in lines(contents["hba.conf"]):
        kind, database, user, *network, method = shlex.split(line)
        assert database == user in opened
        assert (kind, method, len(network)) in {("local", "md5", 0), ("hostssl", "md5", 1)}
    assert len(lines(contents["hba.conf"])) == sum(1 + (len(store[name].networks) or 2) for name in opened)


@given(STORES)
def test_the_userlist_names_who_was_ever_open_and_a_closed_one_by_a_tombstone(store):
    held = dict(shlex.split(line) for line in lines(pgbouncer_files.render(store, BACKEND, LISTENERS)["userlist.txt"]))
    assert set(held) == {name for name, entry in store.items() if entry.verifier or entry.tombstone}
    for name, secret in held.items():
        assert (secret == VERIFIER) is (store[name].door == OPEN)
        scram.parse(secret)


def test_a_second_write_within_a_second_is_newer_by_whole_seconds(tmp_path):
    path = tmp_path / "userlist.txt"
    stamps = []
    for text in ("one", "two", "three"):
        files.write(path, text)
        stamps.append(int(path.stat().st_mtime))
    assert stamps == sorted(set(stamps))
    assert path.read_text() == "three"
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_belongs_to_the_owner_of_its_folder(tmp_path):
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
    files.write(tmp_path / "hba.conf", "x")
    owner = tmp_path.stat()
    assert ((tmp_path / "hba.conf").stat().st_uid, (tmp_path / "hba.conf").stat().st_gid) == (
        owner.st_uid,
        owner.st_gid,
    )
    assert files.is_as_wanted(tmp_path / "hba.conf", "x")
    (tmp_path / "hba.conf").chmod(0o644)
    assert not files.is_as_wanted(tmp_path / "hba.conf", "x")


def test_a_line_is_told_by_its_names(tmp_path):
    (tmp_path / "hba.conf").write_text(
        '# a "comment" "here"\nhostssl "shop" "shop" ::/0 md5\nhost all  odd 0.0.0.0/0 trust\n'
    )
    (tmp_path / "databases.ini").write_text(";; a = b\n[databases]\nshop = host=127.0.0.1\n* = host=10.0.0.1\n")
    (tmp_path / "userlist.txt").write_text(';; "no"\n"shop" "SCRAM"\n"odd" "md5x"\n')
    found = dict(pgbouncer_files.subjects(tmp_path))
    assert found == {
        "databases.ini": ["shop", "*"], "hba.conf": ["shop", "all", "odd"], "userlist.txt": ["shop", "odd"],
    }  # fmt: skip


def test_changed_lines_are_told_by_name(tmp_path):
    (tmp_path / "hba.conf").write_text('local "a" "a" md5\nlocal "b" "b" trust\nlocal "z" "z" md5\n')
    wanted = {"hba.conf": '# h\nlocal "a" "a" md5\nlocal "b" "b" md5\nlocal "c" "c" md5\n', "userlist.txt": '"a" "x"\n'}
    found = pgbouncer_files.differing_names(tmp_path, wanted)
    assert found == {"b": ["hba.conf"], "c": ["hba.conf"], "a": ["userlist.txt"]}
