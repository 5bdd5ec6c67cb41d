"""What DBHost writes to people. Plain text; a link works once and for a short time."""

from urllib.parse import urlencode

from webapp.config import settings
from webapp.gateways.mail import Mail

FOOTER = "\n\n-- \nDBHost at {address}\n"


def link(path: str, **parameters: str) -> str:
    """An address of this installation as people reach it, whatever the request's Host header says."""
    query = f"?{urlencode(parameters)}" if parameters else ""
    return f"{settings().base_url.rstrip('/')}{path}{query}"


def sign_up(to: str, token: str) -> Mail:
    text = f"""Welcome. Choose a password to finish your account:

{link("/sign-up/finish", token=token)}

The link works once, for a day. If you did not ask for an account, do nothing: there is none yet."""
    return _mail(to, "Finish your DBHost account", text)


def has_account(to: str) -> Mail:
    text = f"""Somebody, perhaps you, asked for an account with this address. You have one already:

{link("/sign-in")}

If you forgot the password, get a new one at {link("/forgot-password")}"""
    return _mail(to, "You have a DBHost account already", text)


def reset_password(to: str, token: str) -> Mail:
    text = f"""Choose a new password:

{link("/reset-password", token=token)}

The link works once, for an hour. If you did not ask for it, do nothing: your password stays as it is."""
    return _mail(to, "Choose a new DBHost password", text)


def change_email(to: str, token: str) -> Mail:
    text = f"""Confirm that your DBHost account shall have this address from now on:

{link("/change-email", token=token)}

The link works once, for an hour. If you did not ask for it, do nothing."""
    return _mail(to, "Confirm your new address", text)


def email_changed(to: str, new: str) -> Mail:
    text = f"""Your DBHost account has another address now: {new}

If that was not you, tell whoever runs this installation at once."""
    return _mail(to, "The address of your DBHost account has changed", text)


def password_changed(to: str) -> Mail:
    text = f"""The password of your DBHost account was changed, and every other session has ended.

If that was not you, choose a new one at {link("/forgot-password")}"""
    return _mail(to, "Your DBHost password has changed", text)


def invitation(to: str, by: str, name: str, level: str, token: str) -> Mail:
    text = f"""{by} invites you to the database “{name}”, as {level}.

{link("/invitations", token=token)}

The link works once, for 7 days. If you do not know who invites you, do nothing."""
    return _mail(to, f"{by} invites you to a database", text)


def transfer(to: str, by: str, name: str, token: str) -> Mail:
    text = f"""{by} wants to hand the database “{name}” over to you: you would own it, and it would count for your plan.

{link("/invitations", token=token)}

The link works once, for 7 days. Nothing changes unless you accept."""
    return _mail(to, f"{by} offers you a database", text)


def answered(to: str, by: str, name: str, what: str) -> Mail:
    text = f"""{by} {what} the database “{name}”.

{link("/databases")}"""
    return _mail(to, "Your invitation was answered", text)


def payment_failed(to: str, until: str) -> Mail:
    text = f"""Your payment for DBHost failed. Your plan stays until {until}; nothing is deleted afterwards either.

Change the card here, and all is as before: {link("/settings/billing")}"""
    return _mail(to, "Your payment failed", text)


def ways_in_changed(to: str, what: str) -> Mail:
    text = f"""How you sign in to DBHost has changed: {what}.

If that was not you, choose a new password at {link("/forgot-password")} and look at {link("/settings/security")}"""
    return _mail(to, "How you sign in to DBHost has changed", text)


def storage_warning(to: str, name: str, percent: int, used: str, limit: str) -> Mail:
    text = f"""Your database {name} has reached {percent} % of its storage: {used} of {limit}.

At 100 % it becomes read-only until there is room again. Delete what is not needed, or take a larger plan:

{link("/databases")}"""
    return _mail(to, f"{name} has reached {percent} % of its storage", text)


def host_unhealthy(to: str, host: str, problems: list[str]) -> Mail:
    listed = "\n".join(f"- {problem}" for problem in problems)
    text = f"""The host {host} is not well:

{listed}

What it says now: {link(f"/admin/hosts/{host}")}"""
    return _mail(to, f"The host {host} is not well", text)


def webhook_disabled(to: str, url: str, reason: str) -> Mail:
    text = f"""DBHost sends no more events to your webhook endpoint

{url}

It has taken nothing for a day or more, or said that it is gone. The last try: {reason}

What was not taken waits. Enable it again here, once it works: {link("/settings/webhooks")}"""
    return _mail(to, "Your webhook endpoint was disabled", text)


def backup_failed(to: str, display_name: str, message: str, path: str) -> Mail:
    text = f"""{display_name}: {message}

Earlier backups are kept as they were. What there is, and what to do: {link(path)}

You get no further mail about this until it has worked again."""
    return _mail(to, f"A backup of {display_name} needs attention", text)


def test(to: str) -> Mail:
    return _mail(to, "A test from DBHost", "Mail from this installation arrives.")


def _mail(to: str, subject: str, text: str) -> Mail:
    return Mail(to, subject, text + FOOTER.format(address=settings().base_url))
