"""tenant_backup: what is kept is whole, and what is not whole is not kept, says why, and leaves the previous one."""

import gzip
import hashlib
import http.server
import os
import signal
import subprocess
import threading
import time

import pytest

from agent_modules.module_utils.dbhost import (
    dump_files,
    dump_sinks,
    dumping,
    jobs,
    reading,
)
from agent_modules.module_utils.dbhost.errors import TenantError
from tests.support import dumps


def kept(dataplane, backup):
    folder = dataplane.state_dir / "backups" / backup.folder
    return sorted(entry.name for entry in folder.iterdir() if entry.name != ".lock")


def test_it_works(dataplane, filled):
    backup = dumps.wanted(filled.name)
    made = dumps.back_up(dataplane, backup)
    data = dumps.path(dataplane, backup).read_bytes()
    assert (made["size_bytes"], made["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    text = gzip.decompress(data)
    assert text.count(b"\n") > dumps.ROWS
    assert b"OWNER TO" not in text
    manifest = made["manifest"]
    assert (manifest["tables"], manifest["rows"], manifest["large_objects"]) == (1, dumps.ROWS, 1)
    assert manifest["tables_rows"] == {"public.goods": dumps.ROWS}
    assert (made["parts"], made["encrypted"], made["error"]) == ([], False, None)
    assert kept(dataplane, backup) == [backup.filename, f"{backup.filename}.json"]


def test_a_file_that_is_there_is_not_made_again(dataplane, filled):
    backup = dumps.wanted(filled.name)
    first = dumps.back_up(dataplane, backup)
    assert first.pop("changes") == [f"Back up to {backup.filename}"]
    written = dumps.path(dataplane, backup).stat().st_mtime_ns
    assert dumps.back_up(dataplane, backup) == first
    assert dumps.path(dataplane, backup).stat().st_mtime_ns == written


def test_a_file_that_was_cut_off_since_is_made_again(dataplane, filled):
    backup = dumps.wanted(filled.name)
    dumps.back_up(dataplane, backup)
    path = dumps.path(dataplane, backup)
    path.write_bytes(path.read_bytes()[:-100])
    made = dumps.back_up(dataplane, backup)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == made["sha256"]
    assert made["changes"]


def test_what_is_counted_is_what_was_dumped(dataplane, filled):
    """Rows that come while the dump runs are in neither."""
    stop = threading.Event()

    def write():
        with dataplane.connect(filled.name, filled.password) as connection:
            while not stop.is_set():
                connection.execute("INSERT INTO goods VALUES (0, 'late')")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        backup = dumps.wanted(filled.name)
        made = dumps.back_up(dataplane, backup)
    finally:
        stop.set()
        writer.join()
    text = gzip.decompress(dumps.path(dataplane, backup).read_bytes()).decode()
    copied = text.split("COPY public.goods (id, word) FROM stdin;\n")[1].split("\n\\.\n")[0]
    assert copied.count("\n") + 1 == made["manifest"]["rows"]


def test_a_killed_dump_leaves_the_previous_one_and_nothing_else(dataplane, filled):
    place = dumps.folder()
    before = dumps.wanted(filled.name, folder=place)
    dumps.back_up(dataplane, before)
    files = kept(dataplane, before)
    after = dumps.wanted(filled.name, folder=place, filename="20261125_020000.sql.gz")
    killed = []

    def kill():
        deadline = time.monotonic() + 60
        while not killed and time.monotonic() < deadline:
            for pid in dumps.programs_of(dataplane, "pg_dump"):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
            time.sleep(0.01)

    with dataplane.connect(filled.name, filled.password) as holder, holder.transaction():
        holder.execute("LOCK TABLE goods")  # so that the dump is surely under way
        killer = threading.Thread(target=kill)
        killer.start()
        error = dumps.refused(dataplane, after)
        killer.join()
    assert killed
    assert (error.code, error.retryable) == ("dump_failed", True)
    assert kept(dataplane, after) == files


def test_a_dump_without_its_end_is_not_kept(dataplane, filled, monkeypatch):
    """As it would be if pg_dump ended well and its output did not."""
    monkeypatch.setattr(dumping, "FOOTER", b"\n-- an end that does not come\n")
    backup = dumps.wanted(filled.name)
    assert dumps.refused(dataplane, backup).code == "incomplete_dump"
    assert kept(dataplane, backup) == []


def test_what_a_killed_run_left_goes(dataplane, filled):
    backup = dumps.wanted(filled.name)
    folder = dump_files.store(dataplane.state_dir, "backups", backup.folder)
    (folder / f".20261123_020000.sql.gz{dump_files.PARTIAL}").write_bytes(b"half")
    dumps.back_up(dataplane, backup)
    assert kept(dataplane, backup) == [backup.filename, f"{backup.filename}.json"]


def test_a_lock_that_is_held_is_named(dataplane, filled):
    with dataplane.connect(filled.name, filled.password) as holder, holder.transaction():
        holder.execute("LOCK TABLE goods")
        error = dumps.refused(dataplane, dumps.wanted(filled.name), lock_wait_s=1)
    assert (error.code, error.retryable) == ("lock_held", True), error.message
    assert "lock" in error.message


def force_row_security(dataplane, tenant):
    with dataplane.connect(tenant.name, tenant.password) as connection:
        connection.execute("ALTER TABLE goods ENABLE ROW LEVEL SECURITY")
        connection.execute("ALTER TABLE goods FORCE ROW LEVEL SECURITY")


def test_what_forced_row_security_hides_is_dumped(dataplane, filled):
    force_row_security(dataplane, filled)
    made = dumps.back_up(dataplane, dumps.wanted(filled.name))
    assert made["manifest"]["tables_rows"] == {"public.goods": dumps.ROWS}


def test_a_host_without_the_reader_refuses_and_never_dumps_nothing(dataplane, filled, monkeypatch):
    force_row_security(dataplane, filled)
    monkeypatch.setattr(reading, "READER", "dbhost_nobody")
    backup = dumps.wanted(filled.name)
    error = dumps.refused(dataplane, backup)
    assert (error.code, error.retryable) == ("row_security_forced", False), error.message
    assert kept(dataplane, backup) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small filesystem")
def test_a_full_disk_is_named_and_leaves_nothing_half(dataplane, filled):
    backup = dumps.wanted(filled.name)
    small = dataplane.state_dir / "backups" / backup.folder
    dump_files.store(dataplane.state_dir, "backups", backup.folder)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)], check=False)
    if mounted.returncode:
        pytest.skip("this root may not mount a filesystem")
    try:
        error = dumps.refused(dataplane, backup)
        assert (error.code, error.retryable) == ("host_disk_full", True)
        assert kept(dataplane, backup) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_dump_that_nobody_waits_for_ends(dataplane, filled):
    followed = dumps.progress(dataplane)
    os.utime(followed._path, (time.time() - jobs.ABANDONED_AFTER_S - 1, time.time()))
    backup = dumps.wanted(filled.name)
    with dataplane.connect(filled.name, filled.password) as holder, holder.transaction():
        holder.execute("LOCK TABLE goods")
        with pytest.raises(TenantError) as caught:
            dumping.run(dataplane.state_dir, dumps.dump_user(dataplane), backup, followed)
    assert caught.value.code == "abandoned"
    assert kept(dataplane, backup) == []
    assert list(dumps.programs_of(dataplane, "pg_dump")) == []


def test_two_dumps_of_a_database_at_once_are_refused(dataplane, filled):
    backup = dumps.wanted(filled.name)
    with dump_files.alone(dump_files.store(dataplane.state_dir, "backups", backup.folder)):
        assert dumps.refused(dataplane, backup).code == "dump_under_way"


@pytest.mark.parametrize(
    "changes",
    [
        {"folder": "../../etc"},
        {"folder": "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"},
        {"filename": "../20261124_020000.sql.gz"},
        {"filename": "20261124_020000.sql.gz\n"},
        {"name": "postgres"},
        {"name": "Robert'); --"},
    ],
)
def test_a_place_outside_the_store_is_refused(changes):
    with pytest.raises(TenantError):
        dumps.wanted(**{"name": "shop", **changes})


class Store(http.server.BaseHTTPRequestHandler):
    """An object store that is out of order now and then."""

    def do_PUT(self):
        server = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.tried.append(self.path)
        fails = server.tried.count(self.path) <= server.failures
        if not fails:
            server.parts[self.path] = body
        self.send_response(503 if fails else 200)
        self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')  # noqa: S324  # as S3 makes it
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


@pytest.fixture
def store():
    """Its parts by address, once it has them."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store)
    server.parts, server.tried, server.failures = {}, [], 1
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def uploaded(store, count, part_size=65536):
    address = f"http://127.0.0.1:{store.server_address[1]}"
    urls = [f"{address}/{number}" for number in range(count)]
    return {"store": "upload", "upload": {"part_size": part_size, "part_urls": urls}}


def test_parts_are_uploaded_and_tried_again(dataplane, filled, store):
    backup = dumps.wanted(filled.name, **uploaded(store, 100))
    made = dumps.back_up(dataplane, backup)
    data = b"".join(store.parts[f"/{number}"] for number in range(len(store.parts)))
    assert gzip.decompress(data).count(b"\n") > dumps.ROWS
    assert (made["size_bytes"], made["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert [part["number"] for part in made["parts"]] == list(range(1, len(store.parts) + 1))
    assert len(store.parts) > 2
    assert len(store.tried) == 2 * len(store.parts)
    assert kept(dataplane, backup) == []


def test_a_dump_that_outgrows_its_addresses_fails(dataplane, filled, store):
    assert dumps.refused(dataplane, dumps.wanted(filled.name, **uploaded(store, 1))).code == "too_large"


def test_an_address_is_in_no_complaint(dataplane, filled, monkeypatch):
    monkeypatch.setattr(dump_sinks, "TRIES", 1)
    upload = {"part_size": 65536, "part_urls": ["http://127.0.0.1:1/?X-Amz-Signature=canary"]}
    error = dumps.refused(dataplane, dumps.wanted(filled.name, store="upload", upload=upload))
    assert (error.code, error.retryable) == ("not_stored", True)
    assert "canary" not in str(error.as_dict())


def test_a_dump_can_be_encrypted(dataplane, filled):
    pyrage = pytest.importorskip("pyrage")
    identity = pyrage.x25519.Identity.generate()
    backup = dumps.wanted(filled.name, age_recipients=[str(identity.to_public())])
    made = dumps.back_up(dataplane, backup)
    data = dumps.path(dataplane, backup).read_bytes()
    assert made["encrypted"]
    assert data.startswith(b"age-encryption.org/v1")
    assert gzip.decompress(pyrage.decrypt(data, [identity])).count(b"\n") > dumps.ROWS


def test_several_of_one_database_in_one_run_follow_each_other(dataplane, filled):
    """Side by side, all but one would find that another works on a dump of this database."""
    place = dumps.folder()
    listed = [dumps.wanted(filled.name, folder=place, filename=f"20261124_0{hour}0000.sql.gz") for hour in range(3)]
    told = dumps.back_up_all(dataplane, listed)
    assert told["error"] is None, told
    assert len(kept(dataplane, listed[0])) >= len(listed)
