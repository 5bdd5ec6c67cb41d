"""An S3-compatible store of backups: the only place that speaks S3, and that signs addresses for hosts.

A host never holds a key: it gets addresses that allow one upload or one download, for a while.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from webapp.config import Settings
from webapp.gateways.object_store import UPLOADS, ObjectMissing, ObjectStoreError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

MIB = 1024 * 1024
PART_BYTES = 16 * MIB
MOST_PARTS = 10_000
# A dump of a large database takes its time, and the last part's address must still be good then.
UPLOAD_VALID_S = 12 * 3600
DOWNLOAD_VALID_S = 6 * 3600
CHUNK_BYTES = MIB
MISSING = ("NoSuchKey", "NoSuchUpload", "404", "NotFound")
# Without these, newer versions of the library send checksums that many servers refuse.
PLAIN = Config(
    signature_version="s3v4",
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    retries={"max_attempts": 4, "mode": "standard"},
    connect_timeout=10,
    read_timeout=60,
)
# Two threads with small parts: what is sent from here must not need much memory.
SMALL = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB, max_concurrency=2)


@dataclass(frozen=True)
class Upload:
    """A multipart upload that a host can carry out with nothing but its addresses."""

    key: str
    upload_id: str
    part_bytes: int
    part_urls: list[str]


class ObjectStore:
    """One bucket."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self.bucket = bucket

    @classmethod
    def of(cls, configured: Settings) -> "ObjectStore | None":
        """The bucket of the settings; None where backups stay on their hosts."""
        if not configured.s3_bucket:
            return None
        key, secret = configured.aws_access_key_id, configured.aws_secret_access_key
        client = boto3.client(
            "s3",
            endpoint_url=configured.s3_endpoint_url,
            region_name=configured.aws_region,
            aws_access_key_id=key.get_secret_value() if key else None,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=PLAIN,
        )
        return cls(client, configured.s3_bucket)

    def begin_upload(self, key: str, expected_bytes: int) -> Upload:
        """Start a multipart upload and sign its parts: enough for several times what is expected."""
        parts = min(MOST_PARTS, 32 + math.ceil(2 * expected_bytes / PART_BYTES))
        with _translated():
            made = self._client.create_multipart_upload(Bucket=self.bucket, Key=key, ContentType="application/gzip")
            upload_id = made["UploadId"]
            urls = [self._sign_part(key, upload_id, number) for number in range(1, parts + 1)]
        return Upload(key, upload_id, PART_BYTES, urls)

    def complete_upload(self, key: str, upload_id: str, parts: Iterable[tuple[int, str]], size_bytes: int) -> None:
        """Make the parts (number and ETag) an object, and see that it is as large as the host says."""
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(parts)]
        with _translated():
            self._client.complete_multipart_upload(
                Bucket=self.bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": listed},  # type: ignore[typeddict-item]
            )
        if (found := self.size(key)) != size_bytes:
            raise ObjectStoreError(f"The store has {found} bytes of the backup's {size_bytes}.")

    def abort_upload(self, key: str, upload_id: str) -> None:
        """Give up an upload; one that is not there any more is as good."""
        try:
            with _translated():
                self._client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
        except ObjectMissing:
            return

    def download_url(self, key: str) -> str:
        """An address that allows to read one object, for some hours."""
        with _translated():
            return self._client.generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=DOWNLOAD_VALID_S
            )

    def size(self, key: str) -> int:
        """An object's size. Raises ObjectMissing."""
        with _translated():
            return self._client.head_object(Bucket=self.bucket, Key=key)["ContentLength"]

    def read(self, key: str, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """An object's bytes from *first* to *last*, in chunks. Raises ObjectMissing before the first of them."""
        span = {"Range": f"bytes={first}-{'' if last is None else last}"} if first or last is not None else {}
        with _translated():
            body = self._client.get_object(Bucket=self.bucket, Key=key, **span)["Body"]  # type: ignore[arg-type]
        return body.iter_chunks(CHUNK_BYTES)

    def put_file(self, key: str, path: Path) -> None:
        """Send a file of this machine."""
        with _translated():
            self._client.upload_file(str(path), self.bucket, key, Config=SMALL)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, one call each (not every server has the batch call); a missing one is as good."""
        with _translated():
            for key in keys:
                self._client.delete_object(Bucket=self.bucket, Key=key)

    def ensure_lifecycle(self) -> bool:
        """Let the bucket itself clear away what a crash leaves behind; False where it has no such rules.

        Backups have no rule of age: the last good one of a database must outlive any.
        """
        rules: list[Any] = [
            {
                "ID": "dbhost-abandoned-uploads",
                "Status": "Enabled",
                "Filter": {"Prefix": ""},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
            },
            {
                "ID": "dbhost-imports",
                "Status": "Enabled",
                "Filter": {"Prefix": UPLOADS},
                "Expiration": {"Days": 2},
            },
        ]
        try:
            with _translated():
                self._client.put_bucket_lifecycle_configuration(
                    Bucket=self.bucket, LifecycleConfiguration={"Rules": rules}
                )
        except ObjectStoreError:
            return False
        return True

    def _sign_part(self, key: str, upload_id: str, number: int) -> str:
        parameters = {"Bucket": self.bucket, "Key": key, "UploadId": upload_id, "PartNumber": number}
        return self._client.generate_presigned_url("upload_part", Params=parameters, ExpiresIn=UPLOAD_VALID_S)


class _translated:  # reads as a clause
    """Turn the library's errors into a sentence; theirs may hold addresses with signatures."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ClientError):
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            if code in MISSING:
                raise ObjectMissing("There is no such object in the object store.") from None
            raise ObjectStoreError(f"The object store refused ({code[:60]}).") from None
        if isinstance(error, BotoCoreError | OSError):
            raise ObjectStoreError(f"The object store cannot be reached ({type(error).__name__}).") from None
