"""A real S3 server, which checks signatures: rclone's, over a folder with one bucket."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers import free_ports

BUCKET, KEY, SECRET = "backups", "AKIDEXAMPLE", "a-secret-of-the-tests"
START_TIMEOUT_S = 60


@contextmanager
def object_store_server(folder: Path) -> Iterator[str]:
    """Its address; *folder* gets the bucket and the server's log."""
    (folder / "s3" / BUCKET).mkdir(parents=True)
    [port] = free_ports(1)
    command = [Path(sys.executable).with_name("rclone"), "serve", "s3", "--auth-key", f"{KEY},{SECRET}"]
    with (folder / "rclone.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--addr", f"127.0.0.1:{port}", folder / "s3"], stdout=log, stderr=log
        )  # fmt: skip
    try:
        wait_for(process, port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert process.poll() is None, "rclone ended"
            assert time.monotonic() < deadline, "rclone does not listen"
            time.sleep(0.05)


def settings_of(address: str, secret: str = SECRET) -> dict[str, str]:
    """The environment of an installation that keeps its backups there."""
    return {
        "DBHOST_S3_BUCKET": BUCKET,
        "S3_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": secret,
    }
