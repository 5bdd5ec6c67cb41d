"""The object store against a real S3 server, which checks signatures: hosts get by with addresses alone."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.servers import free_ports
from webapp.config import Settings
from webapp.gateways.object_store import ObjectMissing, ObjectStoreError
from webapp.gateways.s3 import ObjectStore

KEY, SECRET = "AKIDEXAMPLE", "a-secret-of-the-tests"
START_TIMEOUT_S = 60
DUMP = "databases/d/20261124_020000.sql.gz"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """rclone's S3 server over a folder with one bucket."""
    folder = tmp_path_factory.mktemp("s3")
    (folder / "backups").mkdir()
    [port] = free_ports(1)
    rclone = Path(sys.executable).with_name("rclone")
    command = [rclone, "serve", "s3", "--auth-key", f"{KEY},{SECRET}", "--addr", f"127.0.0.1:{port}", folder]
    with (folder.parent / "rclone.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            assert process.poll() is None, "rclone ended"
            assert time.monotonic() < deadline, "rclone does not listen"
            time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


def made(address: str, secret: str = SECRET) -> ObjectStore:
    values = {
        "s3_bucket": "backups", "s3_endpoint_url": address, "aws_access_key_id": KEY, "aws_secret_access_key": secret,
    }  # fmt: skip
    store = ObjectStore.of(Settings.model_validate(values))
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


def test_errors_carry_no_secret(address: str) -> None:
    with pytest.raises(ObjectStoreError) as refused:
        list(made(address, "another-secret").read(DUMP))
    assert "another-secret" not in str(refused.value)
    with pytest.raises(ObjectStoreError, match="cannot be reached"):
        made("http://127.0.0.1:9").size(DUMP)
