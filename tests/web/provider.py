"""A real OpenID provider from a package, and a stand-in for GitHub; both keep what they were asked."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import oidc_provider_mock
from flask import Flask, jsonify, redirect, request
from werkzeug.serving import make_server


class Provider:
    """One provider at `issuer`; `asked` holds the parameters of each request."""

    def __init__(self, app: Flask) -> None:
        self.asked: list[dict[str, str]] = []
        app.before_request(self._note)
        self._server = make_server("127.0.0.1", 0, app, threaded=True)
        self.issuer = f"http://127.0.0.1:{self._server.port}"

    @contextmanager
    def running(self) -> Iterator["Provider"]:
        thread = Thread(target=self._server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def is_told(self, subject: str, **claims: Any) -> None:
        """What the provider knows of somebody."""
        httpx.put(f"{self.issuer}/users/{subject}", json=claims).raise_for_status()

    def consent(self, address: str, subject: str) -> str:
        """Agree as *subject* at the authorization *address*; the path that the browser is sent back to."""
        answer = httpx.post(address, data={"sub": subject})
        assert answer.status_code == 302, answer.text
        parts = urlsplit(answer.headers["Location"])
        return f"{parts.path}?{parts.query}"

    def refuse(self, address: str) -> str:
        parts = urlsplit(httpx.post(address, data={"action": "deny"}).headers["Location"])
        return f"{parts.path}?{parts.query}"

    def of_path(self, path: str) -> dict[str, str]:
        """The parameters of the last request to *path*."""
        return [each for each in self.asked if each["path"] == path][-1]

    def _note(self) -> None:
        self.asked.append({"path": request.path, **request.values.to_dict()})


def openid() -> Provider:
    return Provider(oidc_provider_mock.app(require_nonce=True))


PRIMARY = {"email": "alice@example.com", "primary": True, "verified": True}


def github(primary: dict[str, Any] | None = PRIMARY) -> Provider:
    """What GitHub answers, with one user whose number is 583231; without *primary* addresses are refused."""
    app = Flask("github")
    challenges: dict[str, str] = {}

    @app.route("/login/oauth/authorize", methods=["GET", "POST"])
    def authorize() -> Any:
        code = secrets.token_hex(8)
        challenges[code] = request.args["code_challenge"]
        return redirect(f"{request.args['redirect_uri']}?code={code}&state={request.args['state']}")

    @app.post("/login/oauth/access_token")
    def token() -> Any:
        assert challenges.pop(request.form["code"])
        return jsonify(access_token="gho_secret", token_type="bearer", scope="user:email")

    @app.get("/api/v3/user")
    def user() -> Any:
        assert request.headers["Authorization"] == "Bearer gho_secret"
        return jsonify(id=583231, login="octocat", email="public@example.com")

    @app.get("/api/v3/user/emails")
    def emails() -> Any:
        other = {"email": "old@example.com", "primary": False, "verified": True}
        return jsonify([other, primary]) if primary else (jsonify(message="Resource not accessible"), 403)

    return Provider(app)


def parameters(address: str) -> dict[str, str]:
    """The query of an address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
