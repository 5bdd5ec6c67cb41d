"""The object store against a real S3 server, which checks signatures: hosts get by with addresses alone."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from tests.support.object_store import SECRET, object_store_server, settings_of
from webapp.config import Settings
from webapp.gateways.object_store import ObjectMissing, ObjectStoreError
from webapp.gateways.s3 import ObjectStore
from webapp.worker import keeper

if TYPE_CHECKING:
    from webapp.worker.hosts import Server

CHECKOUT = Path(__file__).parents[2]
DUMP = "databases/d/20261124_020000.sql.gz"
MIB = 1024 * 1024
# What a web process does with a store, its memory before and after.
USED = """
import sys
from pathlib import Path

def resident_mb(line):
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(each.split()[1]) / 1024 for each in status if each.startswith(line))

import webapp.serve
from webapp.gateways.object_store import object_store
before = resident_mb("VmRSS")
store = object_store()
store.put_file("uploads/memory", Path(sys.argv[1]))
sum(len(chunk) for chunk in store.read("uploads/memory"))
store.delete(["uploads/memory"])
print(resident_mb("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with object_store_server(tmp_path_factory.mktemp("store")) as address:
        yield address


def made(address: str, secret: str = SECRET, **more: Any) -> ObjectStore:
    values = {name.lower().removeprefix("dbhost_"): value for name, value in settings_of(address, secret).items()}
    store = ObjectStore.of(Settings.model_validate(values | more))
    assert store is not None
    return store


@pytest.fixture
def store(address: str) -> ObjectStore:
    return made(address)


def test_a_host_uploads_and_downloads_by_addresses_alone(store: ObjectStore) -> None:
    upload = store.begin_upload(DUMP, 2 * 1024**3)
    assert len(upload.part_urls) * upload.part_bytes > 4 * 1024**3
    content = [os.urandom(upload.part_bytes), b"the rest"]
    answers = [httpx.put(url, content=part) for url, part in zip(upload.part_urls, content, strict=False)]
    parts = [(number, answer.headers["ETag"]) for number, answer in enumerate(answers, start=1)]
    whole = b"".join(content)
    store.complete_upload(DUMP, upload.upload_id, reversed(parts), len(whole))
    url = store.download_url(DUMP)
    assert httpx.get(url).content == whole
    assert httpx.get(url.partition("?")[0]).status_code >= 400
    assert SECRET not in url
    assert b"".join(store.read(DUMP)) == whole
    assert b"".join(store.read(DUMP, 5, 9)) == whole[5:10]


def test_an_object_of_another_size_is_refused(store: ObjectStore) -> None:
    upload = store.begin_upload("databases/d/short.sql.gz", 10)
    etag = httpx.put(upload.part_urls[0], content=b"half").headers["ETag"]
    with pytest.raises(ObjectStoreError, match="4 bytes of the backup's 8"):
        store.complete_upload(upload.key, upload.upload_id, [(1, etag)], 8)


def test_giving_up_and_deleting_are_repeatable(store: ObjectStore, tmp_path: Path) -> None:
    upload = store.begin_upload("databases/d/given-up.sql.gz", 10)
    for _ in range(2):
        store.abort_upload(upload.key, upload.upload_id)
    file = tmp_path / "file"
    file.write_bytes(os.urandom(9 * 1024 * 1024))
    store.put_file("uploads/1", file)
    assert store.size("uploads/1") == file.stat().st_size
    for _ in range(2):
        store.delete(["uploads/1"])
    with pytest.raises(ObjectMissing):
        store.size("uploads/1")


def test_imports_of_long_ago_are_swept_away(store: ObjectStore, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"dump")
    for key in ("uploads/2", "databases/d/kept.sql.gz"):
        store.put_file(key, file)
    now = datetime.now(UTC)
    assert store.sweep_uploads(now - timedelta(days=2)) == 0
    assert store.sweep_uploads(now + timedelta(hours=1)) == 1
    assert store.size("databases/d/kept.sql.gz") == 4
    with pytest.raises(ObjectMissing):
        store.size("uploads/2")


def test_the_worker_sweeps_a_bucket_that_takes_no_rules(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"dump")
    store.put_file("uploads/3", file)
    worker = keeper.Keeper(cast("Server", None))
    worker._tidy_bucket(store)
    assert store.size("uploads/3") == 4
    monkeypatch.setattr(keeper, "IMPORTS_KEPT", timedelta(hours=-1))
    worker._tidy_bucket(store)
    with pytest.raises(ObjectMissing):
        store.size("uploads/3")


def test_neither_errors_nor_logs_carry_a_secret(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ObjectStoreError) as refused:
        list(made(address, "another-secret").read(DUMP))
    assert "another-secret" not in str(refused.value)
    with pytest.raises(ObjectStoreError, match="cannot be reached"):
        made("http://127.0.0.1:9").size(DUMP)
    assert caplog.records
    assert "Signature" not in caplog.text


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"s3_endpoint_url": "https://store.example/s3/"}, "https://store.example/s3/backups/"),
        ({"aws_region": "eu-central-1"}, "https://backups.s3.eu-central-1.amazonaws.com/"),
        ({"aws_region": "eu-central-1", "s3_bucket": "my.own"}, "https://s3.eu-central-1.amazonaws.com/my.own/"),
        ({"aws_region": "cn-north-1"}, "https://backups.s3.cn-north-1.amazonaws.com.cn/"),
    ],
)
def test_where_objects_are(changed: dict[str, str | None], expected: str) -> None:
    store = made("unused", **{"s3_endpoint_url": None} | changed)
    assert store.download_url("d/a name~+2.gz").partition("?")[0] == f"{expected}d/a%20name~%2B2.gz"


def test_a_web_process_needs_little_memory_for_a_store(address: str, tmp_path: Path) -> None:
    file = tmp_path / "dump"
    file.write_bytes(os.urandom(MIB) * 64)
    env = os.environ | settings_of(address) | {"MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", USED, file], env=env, cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 12
