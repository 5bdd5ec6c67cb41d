"""JSON bodies, read strictly: one object, no repeated names, nothing that a later step could stumble over."""

import json
from typing import IO, Any, cast

from flask import Request, request
from werkzeug.exceptions import UnsupportedMediaType

from webapp import uploads
from webapp.services.errors import InvalidRequest, ValidationFailed

MAX_DIGITS = 300


class StrictRequest(Request):
    """A request whose JSON is read by the rules here, also where a library asks for it."""

    def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:  # noqa: ARG002
        return read_object()

    def _get_file_stream(self, *about: Any, **more: Any) -> IO[bytes]:
        return cast(IO[bytes], uploads.open_file()) if uploads.is_upload() else super()._get_file_stream(*about, **more)


def read_object() -> dict[str, Any]:
    """The body as a JSON object. Raises InvalidRequest, or UnsupportedMediaType when it says it is something else."""
    if not request.is_json:
        raise UnsupportedMediaType("Send the body as application/json.")
    parsed = _parse(request.get_data(cache=True))
    if not isinstance(parsed, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return parsed


def require_no_fields() -> None:
    """For calls that take no fields: no body, or an empty JSON object."""
    if request.get_data(cache=True) and (fields := read_object()):
        raise ValidationFailed(
            "The request has fields that this call does not know.",
            errors={_shown(name): ["This field is not known."] for name in list(fields)[:20]},
        )


def _parse(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_int=_bounded_int,
        )
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidRequest(f"The body is not valid JSON ({where}).") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidRequest("The body names a field twice.")
    return found


def _refuse_constant(word: str) -> Any:
    raise InvalidRequest(f"The body is not valid JSON: {word} is not a JSON value.")


def _bounded_int(digits: str) -> int:
    """Python refuses to read very long integers, and takes long for those it does read."""
    if len(digits) > MAX_DIGITS:
        raise InvalidRequest("The body has a number that is too long.")
    return int(digits)


def _shown(name: str) -> str:
    """A field's name as it may be echoed: short, and never half a surrogate pair."""
    return name[:60].encode("utf-8", "replace").decode()
