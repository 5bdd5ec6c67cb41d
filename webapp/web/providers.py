"""The identity providers of this installation, and what each says about somebody who comes back from it.

Authlib does the protocol of most: PKCE, state, nonce, the ID token's signature, issuer, audience and times. SAML is
webapp/web/saml.py's.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from authlib.integrations.base_client import OAuthError
from authlib.integrations.flask_client import OAuth
from flask import Flask, current_app, session
from joserfc.errors import JoseError
from requests import RequestException

from webapp.config import Settings
from webapp.http import resources
from webapp.services.errors import NotFound, ProviderFailed
from webapp.services.identities import Claims
from webapp.web import saml

TIMEOUT_S = 10
CLOCK_SKEW_S = 60
# Each is most of a kilobyte of the form's cookie, which browsers drop past four.
STATES_KEPT = 1
GOOGLE = "https://accounts.google.com"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
FAILURES = (OAuthError, JoseError, RequestException, ValueError, KeyError, TypeError)


class ProviderError(Exception):
    """The settings of a provider make no sense; the sentence says which."""


@dataclass(frozen=True)
class Provider:
    """One button of the sign-in page; `name` is in its address."""

    name: str
    title: str
    icon: str
    issuer: str


def available(config: Settings) -> dict[str, Provider]:
    """The providers that are configured, by name."""
    found = []
    if config.oidc_issuer and config.oidc_client_id:
        found.append(Provider("oidc", config.oidc_name, "key-round", config.oidc_issuer.rstrip("/")))
    if config.github_client_id:
        found.append(Provider("github", "GitHub", "user", config.github_url.rstrip("/")))
    if config.google_client_id:
        found.append(Provider("google", "Google", "user", GOOGLE))
    if config.saml_issuer and config.saml_url and config.saml_certificate_file:
        # Apart from an OpenID issuer of the same name, as Keycloak has it: its subjects are others.
        found.append(Provider("saml", config.saml_name, "key-round", f"saml:{config.saml_issuer}"))
    return {provider.name: provider for provider in found}


def register(app: Flask) -> None:
    """Make a client of each provider; none is asked anything before somebody signs in by it."""
    config: Settings = app.extensions["dbhost"].settings
    oauth = OAuth(app)
    for provider in available(config).values():
        if provider.name == "saml":
            _register_saml(app, config)
            continue
        _require_tls(provider.issuer)
        client_id, secret = _credentials(config, provider.name)
        common = {"client_id": client_id, "client_secret": secret}
        oauth.register(provider.name, **common, **(_github(config) if provider.name == "github" else _oidc(provider)))
    app.extensions["dbhost_oauth"] = oauth
    app.jinja_env.globals["sign_in_providers"] = lambda: list(available(resources().settings).values())


def find(name: str) -> Provider:
    """Raises NotFound for a provider that is not configured."""
    provider = available(resources().settings).get(name)
    if provider is None:
        raise NotFound("There is no such way to sign in.")
    return provider


def leave(provider: Provider, redirect_uri: str, *, again: bool) -> Any:
    """The redirect to the provider. Raises ProviderFailed when its address cannot be read.

    *again*: it has to ask who is there, since a confirmation is worth nothing if it only looks at its own cookie.
    """
    if provider.name == "saml":
        return saml.leave(again=again)
    _forget_states()
    options = {"prompt": "login", "max_age": 0} if again and provider.name != "github" else {}
    try:
        return _client(provider).authorize_redirect(redirect_uri, **options)
    except (*FAILURES, RuntimeError) as error:
        raise ProviderFailed(f"{provider.title} cannot be reached just now.") from error


def _forget_states() -> None:
    """Of the sign-ins that were begun in this browser keep the latest: one that is gone on with is among them."""
    begun = sorted((key for key in session if key.startswith("_state_")), key=lambda key: session[key].get("exp", 0))
    for key in begun[: len(begun) - STATES_KEPT]:
        session.pop(key)


def claims(provider: Provider, *, asked_at: float | None = None) -> Claims:
    """What the provider says about the person who comes back with this request. Raises ProviderFailed.

    With *asked_at*, the person must have proven who they are to an OpenID provider after it: one that only looked at
    its own cookie confirms nothing.
    """
    try:
        told = _told(provider)
        if asked_at is not None and provider.name in ("oidc", "google"):
            _require_fresh(provider, told, asked_at)
        return _weigh(provider, told)
    except OAuthError as error:
        refused = error.error == "access_denied"
        sentence = "was cancelled" if refused else "did not work. Try again"
        raise ProviderFailed(f"Signing in by {provider.title} {sentence}.") from error
    except (*FAILURES, ProviderFailed) as error:
        raise ProviderFailed(f"{provider.title} gave an answer that cannot be used.") from error


def _require_fresh(provider: Provider, told: dict[str, Any], asked_at: float) -> None:
    """`auth_time` says when the person was asked last; Google alone does not always tell."""
    at = told.get("auth_time")
    if at is None and provider.name == "google":
        return
    if not isinstance(at, int | float) or at < asked_at - CLOCK_SKEW_S:
        raise OAuthError("login_required")


def _told(provider: Provider) -> dict[str, Any]:
    """The provider's own words for it: `sub`, `email`, `email_verified`."""
    if provider.name == "saml":
        return saml.told()
    client = _client(provider)
    token = client.authorize_access_token()
    return _from_github(client) if provider.name == "github" else _from_oidc(client, provider, token)


def _weigh(provider: Provider, told: dict[str, Any]) -> Claims:
    """How far the address is to be believed, and whether an account may be made."""
    config = resources().settings
    email, said = told.get("email") or None, told.get("email_verified") is True
    may_sign_up = config.sign_up == "open"
    if provider.name == "oidc":
        said = {"verified": said, "all": True, "none": False}[config.oidc_trust]
        may_sign_up = may_sign_up or config.oidc_sign_up
    elif provider.name == "saml":
        said, may_sign_up = config.saml_trust == "all", may_sign_up or config.saml_sign_up
    elif provider.name == "google":
        # Google vouches for the addresses it hosts; another domain's may have changed hands since it looked.
        said = said and (str(email).endswith("@gmail.com") or bool(told.get("hd")))
    return Claims(provider.issuer, str(told["sub"]), email, verified=said, may_sign_up=may_sign_up)


def _from_oidc(client: Any, provider: Provider, token: dict[str, Any]) -> dict[str, Any]:
    """The claims of the ID token; the address from the userinfo endpoint when it is not among them."""
    issuer = str(client.load_server_metadata().get("issuer", ""))
    if issuer.rstrip("/") != provider.issuer:
        raise ValueError("the discovery document is another issuer's")
    told = dict(token["userinfo"])
    if not told.get("email") and client.load_server_metadata().get("userinfo_endpoint"):
        more = dict(client.userinfo(token=token))
        if more.get("sub") != told["sub"]:
            raise ValueError("the userinfo is about somebody else")
        told = more | told
    return told


def _from_github(client: Any) -> dict[str, Any]:
    """GitHub speaks OAuth without ID tokens: its number for the user, and the primary address if verified."""
    user, emails = client.get("user"), client.get("user/emails")
    user.raise_for_status()
    emails.raise_for_status()
    primary: dict[str, Any] = next((entry for entry in emails.json() if entry.get("primary")), {})
    verified = primary.get("verified") is True
    return {"sub": user.json()["id"], "email": primary.get("email"), "email_verified": verified}


def _client(provider: Provider) -> Any:
    return current_app.extensions["dbhost_oauth"].create_client(provider.name)


def _register_saml(app: Flask, config: Settings) -> None:
    _require_tls(str(config.saml_url))
    path = Path(str(config.saml_certificate_file))
    try:
        saml.load_certificates(app, path)
    except (OSError, ValueError) as error:
        raise ProviderError(f"{path} has no certificate in PEM that can be read.") from error


def _require_tls(address: str) -> None:
    parts = urlsplit(address)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise ProviderError(f"{address} must be an https address.")


def _credentials(config: Settings, name: str) -> tuple[str | None, str | None]:
    secret = getattr(config, f"{name}_client_secret")
    return getattr(config, f"{name}_client_id"), secret.get_secret_value() if secret else None


def _oidc(provider: Provider) -> dict[str, Any]:
    scope = {"scope": "openid email profile", "code_challenge_method": "S256", "default_timeout": TIMEOUT_S}
    address = f"{provider.issuer}/.well-known/openid-configuration"
    return {"server_metadata_url": address, "client_kwargs": scope}


def _github(config: Settings) -> dict[str, Any]:
    url = config.github_url.rstrip("/")
    api = "https://api.github.com/" if url == "https://github.com" else f"{url}/api/v3/"
    scope = {"scope": "read:user user:email", "code_challenge_method": "S256", "default_timeout": TIMEOUT_S}
    return {
        "authorize_url": f"{url}/login/oauth/authorize",
        "access_token_url": f"{url}/login/oauth/access_token",
        "api_base_url": api,
        "client_kwargs": scope,
    }
