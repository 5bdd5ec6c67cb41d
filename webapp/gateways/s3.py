"""An S3-compatible store of backups: the only place that speaks S3, and that signs addresses for hosts.

A host never holds a key: it gets addresses that allow one upload or one download, for a while. Only multipart uploads
and the bucket's rules take boto3's client: it needs 20 MB, so that the web process, which asks for neither, must not
make one.
"""

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import quote, urlencode

import requests
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import SecretStr
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

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
TIMEOUT_S = (10, 60)  # to connect, and between two bytes
MISSING = ("NoSuchKey", "NoSuchUpload", "404", "NotFound")
CODE = re.compile(r"<Code>(\w{1,60})</Code>")
RETRIES = Retry(
    total=3, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504), allowed_methods=None, raise_on_status=False
)


@dataclass(frozen=True)
class Upload:
    """A multipart upload that a host can carry out with nothing but its addresses."""

    key: str
    upload_id: str
    part_bytes: int
    part_urls: list[str]


class ObjectStore:
    """One bucket. It may be used from several threads."""

    def __init__(self, configured: Settings, bucket: str) -> None:
        self._configured = configured
        self.bucket = bucket

    @classmethod
    def of(cls, configured: Settings) -> Self | None:
        """The bucket of the settings; None where backups stay on their hosts."""
        return cls(configured, configured.s3_bucket) if configured.s3_bucket else None

    def begin_upload(self, key: str, expected_bytes: int) -> Upload:
        """Start a multipart upload and sign its parts: enough for several times what is expected."""
        parts = min(MOST_PARTS, 32 + math.ceil(2 * expected_bytes / PART_BYTES))
        with _translated():
            made = self._client.create_multipart_upload(Bucket=self.bucket, Key=key, ContentType="application/gzip")
            upload_id = made["UploadId"]
            urls = [self._part_url(key, upload_id, number) for number in range(1, parts + 1)]
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
            return self._address("GET", key, valid_s=DOWNLOAD_VALID_S)

    def size(self, key: str) -> int:
        """An object's size. Raises ObjectMissing."""
        return int(self._ask("HEAD", key).headers["Content-Length"])

    def read(self, key: str, first: int = 0, last: int | None = None) -> Iterator[bytes]:
        """An object's bytes from *first* to *last*, in chunks. Raises ObjectMissing before the first of them."""
        span = {"Range": f"bytes={first}-{'' if last is None else last}"} if first or last is not None else {}
        return self._ask("GET", key, headers=span).raw.stream(CHUNK_BYTES)  # type: ignore[no-any-return]

    def put_file(self, key: str, path: Path) -> None:
        """Send a file of this machine, in one request as it is read: stores take up to 5 GB so."""
        with path.open("rb") as file:
            self._ask("PUT", key, body=file)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, one call each (not every server has the batch call); a missing one is as good."""
        for key in keys:
            with suppress(ObjectMissing):
                self._ask("DELETE", key)

    def sweep_uploads(self, before: datetime) -> int:
        """Delete imports that came before then, for a bucket that has no rules of its own; how many these were."""
        with _translated():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=UPLOADS)
            old = [each["Key"] for page in pages for each in page.get("Contents", []) if each["LastModified"] < before]
        self.delete(old)
        return len(old)

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

    @cached_property
    def _client(self) -> "S3Client":
        import boto3
        from botocore.config import Config

        configured = self._configured
        return boto3.client(
            "s3",
            endpoint_url=configured.s3_endpoint_url,
            region_name=configured.aws_region,
            aws_access_key_id=_revealed(configured.aws_access_key_id),
            aws_secret_access_key=_revealed(configured.aws_secret_access_key),
            # Without these, newer versions of the library send checksums that many servers refuse.
            config=Config(
                signature_version="s3v4",
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                retries={"max_attempts": 4, "mode": "standard"},
                connect_timeout=TIMEOUT_S[0],
                read_timeout=TIMEOUT_S[1],
            ),
        )

    @cached_property
    def _credentials(self) -> Any:
        """The settings' key, else what the machine has for whoever runs here (environment, profile, role)."""
        key, secret = self._configured.aws_access_key_id, self._configured.aws_secret_access_key
        if key and secret:
            return Credentials(key.get_secret_value(), secret.get_secret_value())
        from botocore.session import get_session

        return get_session().get_credentials()

    def _place(self, key: str) -> str:
        """An object's address, unsigned: at AWS a bucket is a host's name where it can be one, elsewhere a folder."""
        endpoint = self._configured.s3_endpoint_url
        if endpoint is None and "." not in self.bucket:
            return f"https://{self.bucket}.{self._aws_host}/{quote(key)}"
        return f"{(endpoint or f'https://{self._aws_host}').rstrip('/')}/{self.bucket}/{quote(key)}"

    @property
    def _aws_host(self) -> str:
        region = self._configured.aws_region
        return f"s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")

    def _address(self, method: str, key: str, query: dict[str, str] | None = None, *, valid_s: int) -> str:
        url = self._place(key) + (f"?{urlencode(query)}" if query else "")
        request = AWSRequest(method, url)
        S3SigV4QueryAuth(self._credentials, "s3", self._configured.aws_region, expires=valid_s).add_auth(request)
        return str(request.url)

    def _part_url(self, key: str, upload_id: str, number: int) -> str:
        query = {"partNumber": str(number), "uploadId": upload_id}
        return self._address("PUT", key, query, valid_s=UPLOAD_VALID_S)

    def _ask(
        self, method: str, key: str, *, body: IO[bytes] | None = None, headers: dict[str, str] | None = None
    ) -> requests.Response:
        """The store's answer; that to a GET is still to be read. Raises ObjectMissing or ObjectStoreError."""
        with _translated(), requests.Session() as session:
            for scheme in ("http://", "https://"):
                session.mount(scheme, HTTPAdapter(max_retries=RETRIES))
            signed = AWSRequest(method, self._place(key), headers or {}, body)
            S3SigV4Auth(self._credentials, "s3", self._configured.aws_region).add_auth(signed)
            answer = session.request(
                method,
                str(signed.url),
                data=body,
                headers=dict(signed.headers),
                stream=method == "GET",
                timeout=TIMEOUT_S,
            )
            if not answer.ok:
                told = CODE.search(answer.text)
                raise _refusal(told[1] if told else str(answer.status_code))
            return answer


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None


def _refusal(code: str) -> ObjectStoreError:
    if code in MISSING:
        return ObjectMissing("There is no such object in the object store.")
    return ObjectStoreError(f"The object store refused ({code[:60]}).")


class _translated:  # reads as a clause
    """Turn the library's errors into a sentence; theirs may hold addresses with signatures."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ClientError):
            raise _refusal(str(error.response.get("Error", {}).get("Code", "unknown"))) from None
        if isinstance(error, BotoCoreError | OSError):
            raise ObjectStoreError(f"The object store cannot be reached ({type(error).__name__}).") from None
