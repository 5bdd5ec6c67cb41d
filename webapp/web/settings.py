"""Settings of the signed-in user: the password, sessions and API keys."""

import uuid
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.wrappers import Response

from webapp.http import current_actor, current_session
from webapp.limits import limit_mails
from webapp.services import accounts, api_keys, auth_sessions, databases, mails, outbox, plans, users
from webapp.services.errors import ServiceError, SignInFailed, ValidationFailed
from webapp.web.confirmation import require_recent
from webapp.web.once import once
from webapp.web.sessions import any_user

blueprint = Blueprint("settings", __name__, url_prefix="/settings")

OWN_DATABASES = 100


@blueprint.get("")
@any_user
def account() -> str:
    """Who is signed in, the plan, and the form to change the password."""
    return _account_page()


@blueprint.post("/password")
@any_user
def change_password() -> Response | tuple[str, int]:
    """Replace the password and end every other session: whoever knew the old one is out."""
    session, form = current_session(), request.form
    if current_user.user.password_hash is None:
        require_recent()
    if form.get("new", "") != form.get("repeated", ""):
        return _account_page({"repeated": ["This differs from the first."]}), 400
    try:
        users.change_password(session, current_actor(), current_user.user, form.get("current", ""), form.get("new", ""))
    except (ValidationFailed, SignInFailed) as error:
        return _account_page(error.errors or {"current": [str(error)]}), 400
    auth_sessions.revoke_others(session, current_actor(), current_user.auth_session)
    outbox.post(session, mails.password_changed(current_user.user.email))
    session.commit()
    flash("Password changed. Your other sessions were ended.")
    return redirect(url_for("settings.account"), code=303)


@blueprint.post("/email")
@any_user
def change_email() -> Response | tuple[str, int]:
    """Send a link to the new address; the change is made once it is followed."""
    require_recent()
    session, email = current_session(), request.form.get("email", "")
    limit_mails(email)
    try:
        mail = accounts.request_email_change(session, current_actor(), current_user.user, email)
    except ValidationFailed as error:
        return _account_page(error.errors), error.status
    outbox.post(session, mail)
    session.commit()
    flash("A link is on its way to the new address.")
    return redirect(url_for("settings.account"), code=303)


@blueprint.get("/sessions")
def sessions() -> str:
    """The browsers that are signed in as this user."""
    listed = auth_sessions.list_sessions(current_session(), current_user.user)
    return render_template("settings/sessions.html", sessions=listed, current=current_user.auth_session)


@blueprint.post("/sessions/<uuid:session_id>/revoke")
def revoke_session(session_id: uuid.UUID) -> Response:
    """End one session at once; one's own too."""
    auth_sessions.revoke(current_session(), current_actor(), session_id)
    current_session().commit()
    flash("Session ended")
    return redirect(url_for("settings.sessions"), code=303)


@blueprint.post("/sessions/revoke-others")
def revoke_other_sessions() -> Response:
    """End all sessions but this one."""
    ended = auth_sessions.revoke_others(current_session(), current_actor(), current_user.auth_session)
    current_session().commit()
    flash(f"{ended} other session{'' if ended == 1 else 's'} ended")
    return redirect(url_for("settings.sessions"), code=303)


@blueprint.get("/api-keys")
def keys() -> str:
    """The user's API keys by label and prefix, and the form for another."""
    return _keys_page()


@blueprint.post("/api-keys")
@once
def create_key() -> str | tuple[str, int]:
    """Make a key and show its secret on this one answer, which no history or cache keeps."""
    require_recent()
    session, form = current_session(), request.form
    try:
        new_key = api_keys.create_key(
            session, current_actor(), current_user.user, label=form.get("label", ""),
            scope=form.get("scope", "full"), databases=form.getlist("databases"),
            days=form.get("days", type=int),
        )  # fmt: skip
    except ServiceError as error:
        session.rollback()
        return _keys_page(error=error), error.status
    session.commit()
    return _keys_page(new_key=new_key)


@blueprint.post("/api-keys/<uuid:key_id>/replace")
@once
def replace_key(key_id: uuid.UUID) -> str:
    """A new secret with the same label and scope; the old one ends at once."""
    require_recent()
    new_key = api_keys.replace_key(current_session(), current_actor(), key_id)
    current_session().commit()
    return _keys_page(new_key=new_key)


@blueprint.post("/api-keys/<uuid:key_id>/revoke")
def revoke_key(key_id: uuid.UUID) -> Response:
    """End a key at once."""
    api_key = api_keys.revoke_key(current_session(), current_actor(), key_id)
    current_session().commit()
    flash(f"API key {api_key.label} revoked")
    return redirect(url_for("settings.keys"), code=303)


def _account_page(errors: dict[str, list[str]] | None = None) -> str:
    user = current_user.user
    used, plan = plans.live_databases(current_session(), user), plans.plan_of(user)
    return render_template("settings/account.html", user=user, plan=plan, used=used, errors=errors or {})


def _keys_page(**context: Any) -> str:
    """The page of API keys; *context* adds a new key or the error of the form."""
    session, user = current_session(), current_user.user
    visible = databases.list_databases(session, current_actor(), limit=OWN_DATABASES).items
    own = [database for database in visible if database.owner_id == user.id]
    listed = api_keys.list_keys(session, user)
    names = {database.id: database.name for database in own}
    context |= {"keys": listed, "databases": own, "names": names, "plan": plans.plan_of(user)}
    return render_template("settings/keys.html", **context)
