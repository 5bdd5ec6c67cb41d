"""The OpenAPI document, its page, and docs/api.md."""

import inspect
import re
from pathlib import Path

from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.api.conftest import Caller
from tests.api.test_guards import routes
from webapp import http
from webapp.services import errors

CHECKOUT = Path(__file__).parents[2]
DOCUMENTED = (CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8")
OUTSIDE = re.compile(r"""(?:src|href)=["'](?:https?:)?//""")


def braced(address: str) -> str:
    """A route's address as documents write it."""
    return address.replace("<", "{").replace(">", "}")


def test_it_is_valid_openapi(nobody: Caller) -> None:
    response = nobody.get("/api/v1/openapi.json")
    document = response.get_json()
    assert document["openapi"] == "3.1.0"
    OpenAPIV31SpecValidator(document).validate()
    again = nobody.get("/api/v1/openapi.json", headers={"If-None-Match": response.headers["ETag"]})
    assert again.status_code == 304


def test_it_holds_every_call(app: Flask, nobody: Caller) -> None:
    paths = nobody.get("/api/v1/openapi.json").get_json()["paths"]
    told = {f"{method.upper()} {path}" for path, item in paths.items() for method in item}
    served = {
        f"{route.split()[0]} {braced(address)}"
        for route, address in routes(app).items()
        if route.split()[1].partition(".")[0].endswith("_api")
    }
    assert told == served


def test_every_call_is_documented(app: Flask) -> None:
    for route, address in routes(app).items():
        assert f"`{route.split()[0]} {braced(address)}`" in DOCUMENTED, route


def test_every_code_is_documented() -> None:
    declared = {
        value.code for _, value in inspect.getmembers(errors, inspect.isclass) if issubclass(value, errors.ServiceError)
    }
    for code in declared | set(http.CODES.values()) | {"INTERNAL_ERROR", "SERVICE_UNAVAILABLE"}:
        assert f"`{code}`" in DOCUMENTED, code


def test_the_page_loads_nothing_from_outside(nobody: Caller) -> None:
    response = nobody.get("/api/docs")
    assert response.status_code == 200
    policy = response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    page = response.get_data(as_text=True)
    assert not OUTSIDE.search(page)
    assert "<script>" not in page
    for address in re.findall(r'(?:src|href)="([^"]+)"', page):
        with nobody.get(address) as answer:
            assert answer.status_code == 200
