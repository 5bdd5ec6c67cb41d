"""The OpenAPI document and its page, with nothing loaded from outside."""

from typing import cast

from flask import Blueprint, Response, current_app, jsonify, request, url_for
from flask_openapi.openapi import OpenAPI

from webapp.http import public

pages = Blueprint("api_docs", __name__)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>DBHost API</title>
<link rel="icon" href="{icon}">
<link rel="stylesheet" href="{css}">
</head>
<body>
<main id="swagger-ui" data-url="{document}"></main>
<script src="{bundle}"></script>
<script src="{start}"></script>
</body>
</html>
"""


@pages.get("/api/v1/openapi.json")
@public
def document() -> Response:
    """The API as OpenAPI 3.1."""
    response = jsonify(cast(OpenAPI, current_app).api_doc)
    response.headers["Cache-Control"] = "public, no-cache"
    response.add_etag()
    response.make_conditional(request)
    return response


@pages.get("/api/docs")
@public
def show() -> Response:
    """The document as a page to read and try."""
    page = PAGE.format(
        icon=url_for("static", filename="favicon.svg"),
        css=url_for("static", filename="swagger/swagger-ui.css"),
        bundle=url_for("static", filename="swagger/swagger-ui-bundle.js"),
        start=url_for("static", filename="swagger/start.js"),
        document=url_for("api_docs.document"),
    )
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": POLICY})
