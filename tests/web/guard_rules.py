"""The table of pages: what each person gets from each route, and what its form sends."""

import io
from typing import Any

from werkzeug.test import TestResponse

from tests.web.conftest import PASSWORD

# `looking` is an admin who looks as the owner. The last three have no session: signed in before the ban, never, or
# with an API key, which opens no page.
PEOPLE = (
    "owner", "admin", "developer", "viewer", "stranger", "platform admin", "looking", "banned", "anonymous", "full key",
)  # fmt: skip
type Answer = int | str
type Rule = tuple[Answer, ...]


def page(*answers: Answer) -> Rule:
    """A page for those who are signed in; the others are led to the sign-in."""
    return (*answers, "sign-in", "sign-in", "sign-in")


def form(*answers: Answer) -> Rule:
    """A form of those who are signed in; who only looks sends none."""
    return (*answers, 403, 401, 401, 401)


def everybody(answer: Answer) -> Rule:
    return (answer,) * len(PEOPLE)


OWN_PAGE = page(200, 200, 200, 200, 200, 200, 200)  # shows each visitor what is theirs
OWN_FORM = form(303, 303, 303, 303, 303, 303)
OWN_SHOWN = form(200, 200, 200, 200, 200, 200)
OWN_THING = form(303, 404, 404, 404, 404, 404)  # the thing in the address is the owner's
OWN_THING_PAGE = page(200, 404, 404, 404, 404, 404, 200)
VIEW = page(200, 200, 200, 200, 404, 200, 200)
OPERATE_PAGE = page(200, 200, 404, 404, 404, 200, 404)
OPERATE = form(303, 303, 404, 404, 404, 303)
OWNER_PAGE = page(200, 404, 404, 404, 404, 404, 404)
OWNER = form(303, 404, 404, 404, 404, 404)
CLONE_PAGE = page(200, 200, 404, 404, 404, 404, 404)
CLONE = form(303, 303, 404, 404, 404, 404)
MEMBER = form(404, 303, 303, 303, 404, 404)
BILLING_OFF = form(400, 400, 400, 400, 400, 400)
PANEL = page(404, 404, 404, 404, 404, 200, 404)
PANEL_FORM: Rule = (404, 404, 404, 404, 404, 303, 404, 401, 401, 401)
SIGNED_OUT: Rule = (302, 302, 302, 302, 302, 302, 302, 200, 200, 200)
NO_LINK = everybody(410)

RULES: dict[str, Rule] = {
    "GET databases.index": OWN_PAGE,
    "GET databases.new": OWN_PAGE,
    "GET databases.preview_name": OWN_PAGE,
    "POST databases.create": OWN_FORM,
    "GET databases.show": VIEW,
    "POST databases.reveal": form(200, 200, 200, 404, 404, 404),
    **{f"GET changes.confirm {name}": OPERATE_PAGE for name in ("stop", "restart", "reset-password", "rename")},
    "GET changes.confirm delete": OWNER_PAGE,
    **{f"POST changes.queue {name}": OPERATE for name in ("start", "stop", "restart", "repair-ownership", "clean-up")},
    "POST changes.queue reset-password": OPERATE,  # shows nothing: who may not reveal it does not see it
    "POST changes.rename": OPERATE,
    "POST changes.delete": OWNER,
    "GET backups.index": page(200, 200, 200, 404, 404, 200, 404),
    "POST backups.create": OPERATE,
    "GET backups.download": page(200, 200, 200, 404, 404, 404, 404),
    "GET backups.confirm restore": OPERATE_PAGE,
    "GET backups.confirm delete": OPERATE_PAGE,
    "POST backups.change restore": OPERATE,
    "POST backups.change delete": OPERATE,
    "POST backups.restore_upload": OPERATE,
    "POST backups.schedule": OPERATE,
    "GET deletions.index": OWN_PAGE,
    "POST deletions.undelete": OWNER,
    "POST deletions.protect": OWNER,
    "GET deletions.new_clone": CLONE_PAGE,
    "POST deletions.clone": CLONE,
    "POST allowlist.add": OPERATE,
    "POST allowlist.remove": OPERATE,
    "POST invitations.create": OPERATE,
    "POST invitations.resend": OPERATE,
    "POST invitations.withdraw": OPERATE,
    "POST own_invitations.accept": form(404, 404, 404, 404, 303, 404),  # the stranger is invited
    "POST own_invitations.decline": form(404, 404, 404, 404, 303, 404),
    "GET invited.show": NO_LINK,
    "POST invited.join": NO_LINK,
    "GET transfers.form": OWNER_PAGE,
    "POST transfers.offer": OWNER,
    "POST transfers.withdraw": OWNER,
    "POST members.change": OPERATE,
    "POST members.remove": OPERATE,
    "POST member_credentials.make": MEMBER,
    "POST member_credentials.show": (404, 200, 404, 404, 404, 404, 403, 401, 401, 401),  # one role has a password
    "POST member_credentials.give_up": MEMBER,
    "POST member_credentials.revoke": OPERATE,
    "POST moves.move": form(404, 404, 404, 404, 404, 303),
    "GET operations.index": OWN_PAGE,
    "GET operations.show": VIEW,
    "GET operations.events": VIEW,
    "POST operations.cancel": OPERATE,
    "POST operations.retry": OPERATE,
    "GET activity.index": OWN_PAGE,
    "GET settings.account": OWN_PAGE,
    "POST settings.change_password": OWN_FORM,
    "POST settings.change_email": OWN_FORM,
    "GET settings.sessions": OWN_PAGE,
    "POST settings.revoke_session": OWN_THING,
    "POST settings.revoke_other_sessions": OWN_FORM,
    "GET settings.keys": OWN_PAGE,
    "POST settings.create_key": OWN_SHOWN,
    "POST settings.replace_key": form(200, 404, 404, 404, 404, 404),
    "POST settings.revoke_key": OWN_THING,
    "GET webhooks.index": OWN_PAGE,
    "POST webhooks.create": OWN_SHOWN,
    "GET webhooks.show": OWN_THING_PAGE,
    "GET webhooks.confirm_delete": OWN_THING_PAGE,
    "GET webhooks.show_delivery": OWN_THING_PAGE,
    "POST webhooks.change": OWN_THING,
    "POST webhooks.rotate": form(200, 404, 404, 404, 404, 404),
    "POST webhooks.set_state enable": OWN_THING,
    "POST webhooks.set_state disable": OWN_THING,
    "POST webhooks.test": OWN_THING,
    "POST webhooks.delete": OWN_THING,
    "POST webhooks.resend": OWN_THING,
    "GET billing.show_usage": OWN_PAGE,
    "GET billing.show": OWN_PAGE,
    "POST billing.checkout": BILLING_OFF,
    "GET billing.paid": page(404, 404, 404, 404, 404, 404, 404),
    "POST billing.portal": form(404, 404, 404, 404, 404, 404),
    "POST billing.change": BILLING_OFF,
    "GET security_settings.index": OWN_PAGE,
    "POST security_settings.unlink": OWN_THING,
    "POST factor_settings.start_totp": OWN_SHOWN,
    "POST factor_settings.confirm_totp": form(400, 400, 400, 400, 400, 400),  # no code of an app
    "POST factor_settings.remove_totp": OWN_FORM,
    "POST factor_settings.create_passkey": form(410, 410, 410, 410, 410, 410),  # not asked for
    "POST factor_settings.remove_passkey": OWN_THING,
    "POST factor_settings.new_codes": form(200, 409, 409, 409, 409, 409),  # the owner has a passkey
    "GET confirmation.form": OWN_PAGE,
    "POST confirmation.confirm": OWN_FORM,
    **{f"GET admin_{name}.index": PANEL for name in ("overview", "users", "databases", "hosts", "drift", "operations")},
    "GET admin_audit.index": PANEL,
    "GET admin_audit.export csv": PANEL,
    "GET admin_audit.export json": PANEL,
    "GET admin_settings.index": PANEL,
    "GET admin_users.show": PANEL,
    **{f"POST admin_users.{name}": PANEL_FORM for name in ("ban", "unban", "delete", "undelete", "view_as")},
    **{f"POST admin_users.change_{name}": PANEL_FORM for name in ("plan", "role", "email")},
    "GET admin_hosts.show": PANEL,
    "GET admin_hosts.confirm": PANEL,
    "POST admin_hosts.set_state": PANEL_FORM,
    **{f"POST admin_drift.{name}": PANEL_FORM for name in ("check", "repair", "ignore", "notice")},
    "POST admin_operations.cancel": PANEL_FORM,
    "POST admin_operations.retry": PANEL_FORM,
    "GET auth.sign_in_form": SIGNED_OUT,
    "POST auth.sign_in": everybody(303),
    "POST auth.sign_out": (303, 303, 303, 303, 303, 303, 303, 401, 401, 401),
    "GET accounts.sign_up": everybody(200),
    "POST accounts.request_sign_up": everybody(403),  # by invitation only, as it is unless set otherwise
    "GET accounts.finish_form": NO_LINK,
    "POST accounts.finish_sign_up": NO_LINK,
    "GET accounts.forgot": everybody(200),
    "POST accounts.request_reset": everybody(200),
    "GET accounts.reset_form": NO_LINK,
    "POST accounts.reset_password": NO_LINK,
    "GET accounts.change_email_form": NO_LINK,
    "POST accounts.change_email": NO_LINK,
    **{f"GET federation.start {name}": everybody(404) for name in ("oidc", "github", "google", "saml")},
    **{f"GET federation.back {name}": everybody(404) for name in ("oidc", "github", "google", "saml")},
    "GET saml.metadata": everybody(404),
    "POST saml.take": everybody(404),
    "GET passkeys.create_options": (200, 200, 200, 200, 200, 200, 403, 401, 401, 401),
    "GET passkeys.sign_options": everybody(200),
    "GET second_step.form": everybody("sign-in"),
    "POST second_step.check_code": everybody("sign-in"),
    "POST passkey_sign_in.sign_in": everybody(401),
    "POST passkey_sign_in.confirm": (401, 401, 401, 401, 401, 401, 403, 401, 401, 401),  # no passkey's answer
    "POST viewing.stop": (404, 404, 404, 404, 404, 404, 303, 404, 404, 404),
    "GET pages.home": everybody(302),
    "GET pages.ca_certificate": everybody(404),
}

# An identity provider's page sends it, from its own site; what counts is the signature.
WITHOUT_TOKEN = {"POST saml.take"}

FORMS: dict[str, dict[str, Any]] = {
    "databases.create": {"display_name": "Fresh"},
    "changes.rename": {"display_name": "Other"},
    "changes.delete": {"confirmation": "shop"},
    "backups.change restore": {"confirmation": "shop"},
    "backups.change delete": {"confirmation": "{filename}"},
    "backups.schedule": {"enabled": "on", "hour_utc": "3", "every_hours": "24", "retention_days": "30"},
    "deletions.protect": {"protected": "true"},
    "deletions.clone": {"display_name": "Copy"},
    "allowlist.add": {"cidr": "10.0.0.0/8"},
    "allowlist.remove": {"cidr": "10.0.0.0/8"},
    "invitations.create": {"email": "new@example.com", "level": "viewer"},
    "transfers.offer": {"email": "new@example.com", "stay": "true"},
    "invited.join": {"token": "none", "password": PASSWORD, "repeated": PASSWORD},
    "members.change": {"level": "viewer"},
    "moves.move": {"host": "db2"},
    "settings.change_password": {"current": PASSWORD, "new": f"another {PASSWORD}", "repeated": f"another {PASSWORD}"},
    "settings.change_email": {"email": "other@example.com"},
    "settings.create_key": {"label": "Another"},
    "webhooks.create": {"url": "https://example.com/hook", "events": "backup.failed"},
    "webhooks.change": {"url": "https://example.com/hook", "events": "backup.failed"},
    "confirmation.confirm": {"password": PASSWORD},
    "admin_users.change_plan": {"plan": "pro"},
    "admin_users.change_role": {"role": "admin"},
    "admin_users.change_email": {"email": "other@example.com"},
    "admin_users.delete": {"confirmation": "{email}"},
    "auth.sign_in": {"email": "alice@example.com", "password": PASSWORD},
    "accounts.request_reset": {"email": "x@example.com"},
    "accounts.request_sign_up": {"email": "x@example.com"},
}

OPERATION = "UPDATE operations SET state = '{}' WHERE id = :operation_id"
# What makes the thing fit for the route, undone afterwards.
PREPARED = {
    "POST changes.queue clean-up": "UPDATE databases SET storage_state = 'shut';"
    "UPDATE operations SET created_at = now() - interval '2 days'",
    "POST deletions.undelete": "UPDATE databases SET deleted_at = now() WHERE id = :database_id",
    "POST allowlist.remove": "INSERT INTO allowlist_entries (id, database_id, cidr)"
    " VALUES (gen_random_uuid(), :database_id, '10.0.0.0/8')",
    "POST transfers.withdraw": "UPDATE invitations SET level = 'owner'",
    "POST operations.cancel": OPERATION.format("queued"),
    "POST operations.retry": OPERATION.format("failed"),
    "POST admin_operations.cancel": OPERATION.format("queued"),
    "POST admin_operations.retry": OPERATION.format("failed"),
    "POST admin_users.unban": "UPDATE users SET state = 'banned' WHERE id = :user_id",
    "POST admin_users.undelete": "UPDATE users SET state = 'deleted' WHERE id = :user_id;"
    "INSERT INTO user_deletions (user_id, purge_at) VALUES (:user_id, now() + interval '1 day')",
}


def sent(route: str, values: dict[str, Any]) -> dict[str, Any]:
    """What the route's form sends."""
    name = route.partition(" ")[2]
    if name == "backups.restore_upload":
        return {"confirmation": "shop", "file": (io.BytesIO(b"SELECT 1;"), "dump.sql")}
    return {field: str(value).format(**values) for field, value in FORMS.get(name, {}).items()}


def answer(response: TestResponse) -> Answer:
    """The status, or that the request was led to the sign-in or to a confirmation instead of being carried out."""
    place = response.headers.get("Location", "").partition("?")[0]
    if response.status_code == 302 or place == "":
        return response.status_code
    signs_in = place == "/sign-in" and response.request.path != "/sign-out"
    return "sign-in" if signs_in else "confirm" if place == "/confirm" else response.status_code
