"""A client of the REST API for the command line: where it is, by which key, and errors as exit codes."""

import json
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import click
import httpx

TIMEOUT_S = 90.0
PAGE = 100  # rows at once, the most that the API gives
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
DENIED, NOT_FOUND, CONFLICT, AWAY, FAILED = 3, 4, 5, 6, 7
EXIT_CODES = {401: DENIED, 403: DENIED, 404: NOT_FOUND, 409: CONFLICT, 500: FAILED, 503: AWAY}


class ApiError(click.ClickException):
    """What the server said no to, or that it cannot be reached."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it of the class, and reads it of the instance


@dataclass(frozen=True)
class Login:
    """Where the API is and the key for it."""

    url: str
    api_key: str = field(repr=False)


def config_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "dbhost"


def credentials_file() -> Path:
    return config_folder() / "credentials.json"


def store(login: Login) -> Path:
    """Keep *login* for later commands."""
    path = credentials_file()
    write_private(path, json.dumps({"url": login.url, "apiKey": login.api_key}).encode())
    return path


def write_private(path: Path, content: bytes) -> None:
    """Write a file whole, readable by its owner alone from the first byte on."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{uuid.uuid4().hex}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)


def stored() -> Login | None:
    """The login that `auth login` kept. Raises ApiError for a file that others can read: they know the key."""
    path = credentials_file()
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise ApiError(
                    f"Other users of this machine can open {path} (mode {mode:04o}). Close it with `chmod 600 {path}`, "
                    "and replace the API key if somebody may have read it.",
                    DENIED,
                )
            values = json.load(file)
        return Login(values["url"], values["apiKey"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise ApiError(f"{path} is damaged. Run `dbhost auth login` again.") from None


def current_login() -> Login:
    """The environment's key and address before the stored ones. Raises ApiError when there is no key."""
    api_key, url = os.environ.get("DBHOST_API_KEY"), os.environ.get("DBHOST_API_URL")
    kept = None if api_key and url else stored()
    api_key = api_key or (kept.api_key if kept else "")
    if not api_key:
        raise ApiError("There is no API key: run `dbhost auth login --api-key …` or set DBHOST_API_KEY.", DENIED)
    return Login(url or (kept.url if kept else default_url()), api_key)


def default_url() -> str:
    """The embedded stack of this checkout."""
    from webapp.embedded.environment import load

    return load(os.environ).url


class ApiClient:
    """Calls of the REST API; whatever is not well becomes an ApiError with the server's own sentence."""

    def __init__(self, login: Login) -> None:
        self.login = login
        parts = urlsplit(login.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ApiError(f"{login.url} is not an address of an API: it must begin with http:// or https://.", 2)
        self._http = httpx.Client(
            base_url=login.url.rstrip("/") + "/api/v1",
            headers={"Authorization": f"Bearer {login.api_key}", "Accept": "application/json"},
            timeout=TIMEOUT_S,
            trust_env=parts.hostname not in LOOPBACK,
        )

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer to one call, below 400. Raises ApiError."""
        try:
            response = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise ApiError(f"{self.login.url} cannot be reached: {error}", AWAY) from None
        if response.status_code >= 300:
            raise _refusal(response)
        return response

    def download(self, path: str, target: BinaryIO, seen: Callable[[int, int], None]) -> dict[str, Any] | None:
        """Write the file at *path* to *target*, telling *seen* how far it is; the operation when it is not there yet.

        Raises ApiError.
        """
        try:
            with self._http.stream("GET", path, headers={"Accept": "*/*"}) as response:
                if response.status_code != 200:
                    response.read()
                    if response.status_code >= 300:
                        raise _refusal(response)
                    return dict(response.json())
                total, done = int(response.headers.get("Content-Length", 0)), 0
                for chunk in response.iter_bytes():
                    target.write(chunk)
                    done += len(chunk)
                    seen(done, total)
        except httpx.HTTPError as error:
            raise ApiError(f"{self.login.url} cannot be reached: {error}", AWAY) from None
        return None

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, params=params).json()

    def fetch(self, path: str) -> bytes:
        """The file at *path* of the dashboard, outside of the API. Raises ApiError."""
        return self.call("GET", self.login.url.rstrip("/") + path, headers={"Accept": "*/*"}).content

    def all_pages(self, path: str, **params: Any) -> Iterator[dict[str, Any]]:
        """The rows of every page of a list, in its order; a page is asked for when it is come to. Raises ApiError."""
        seen = 0
        for number in count(1):
            answer = self.get(path, page=number, limit=PAGE, **params)
            yield from answer["data"]
            seen += len(answer["data"])
            if not answer["data"] or seen >= answer["pagination"]["total"]:
                return

    def find(self, name_or_id: str) -> str:
        """The id of the database with this name or id. Raises ApiError."""
        if _is_id(name_or_id):
            return name_or_id
        for database in self.all_pages("/databases", search=name_or_id[:100]):
            if database["name"] == name_or_id:
                return str(database["id"])
        raise ApiError(f"There is no database {name_or_id}.", NOT_FOUND)


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def _refusal(response: httpx.Response) -> ApiError:
    code = EXIT_CODES.get(response.status_code, 1)
    try:
        told = response.json()
        fields = [f"\n  {name}: {' '.join(words)}" for name, words in (told.get("errors") or {}).items()]
        return ApiError(f"{told['detail']} ({told['code']}){''.join(fields)}", code)
    except (ValueError, KeyError, AttributeError):
        return ApiError(f"{response.url} answered {response.status_code}, and not like a DBHost API.", code)
