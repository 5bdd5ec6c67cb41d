"""Mail: by SMTP where `SMTP_URL` says so, otherwise as files in the outbox of DBHOST_HOME."""

import os
import smtplib
import ssl
import time
import uuid
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from urllib.parse import unquote, urlsplit

import idna

from webapp.config import Settings

TIMEOUT_S = 15
LOOPBACK = ("127.0.0.1", "localhost", "::1")
FORM = "SMTP_URL must look like smtp://user:password@host:587 or smtps://user:password@host:465."
# An address that cannot be written in a message is a ValueError.
FAILURES = (OSError, smtplib.SMTPException, ValueError)


class MailError(Exception):
    """The settings of mail make no sense; the sentence says which, without the password."""


@dataclass(frozen=True)
class Mail:
    """One message as plain text. The text may hold a link that lets somebody in, so it is never logged."""

    to: str
    subject: str
    text: str = field(repr=False)


def check(config: Settings) -> None:
    """Raises MailError when `SMTP_URL` is set and is none."""
    if config.smtp_url is None:
        return
    parts = urlsplit(config.smtp_url.get_secret_value())
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        raise MailError(FORM)


def send(mail: Mail, config: Settings) -> None:
    """Hand *mail* to the server, or put it into the outbox. Raises OSError or SMTPException."""
    message = _message(mail, config)
    if config.smtp_url is None:
        _keep(message, config.home / "outbox")
        return
    with _connect(config.smtp_url.get_secret_value()) as server:
        server.send_message(message)


def _message(mail: Mail, config: Settings) -> EmailMessage:
    message = EmailMessage()
    message["From"] = config.mail_from or f"dbhost@{_domain(config.public_host)}"
    message["To"] = ascii_address(mail.to)
    message["Subject"] = mail.subject
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=_domain(config.public_host))
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    return message


def ascii_address(address: str) -> str:
    """*address* with its domain as DNS and every mail server know it (`xn--…`); what is no such domain stays."""
    local, at, domain = address.rpartition("@")
    try:
        return f"{local}{at}{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        return address


def _domain(host: str) -> str:
    """A host's name as the domain of an address; an IP address stands in brackets there."""
    literal = ":" in host or host.replace(".", "").isdigit()
    return ("[IPv6:" if ":" in host else "[") + host + "]" if literal else host


def _connect(url: str) -> smtplib.SMTP:
    """A connection ready to send: over TLS, except to this machine, and logged in where the URL has a user."""
    parts = urlsplit(url)
    if parts.hostname is None:
        raise MailError(FORM)
    context = ssl.create_default_context()
    server: smtplib.SMTP
    if parts.scheme == "smtps":
        server = smtplib.SMTP_SSL(parts.hostname, parts.port or 465, timeout=TIMEOUT_S, context=context)
    else:
        server = smtplib.SMTP(parts.hostname, parts.port or 587, timeout=TIMEOUT_S)
        if parts.hostname not in LOOPBACK:
            server.starttls(context=context)
    if parts.username:
        server.login(unquote(parts.username), unquote(parts.password or ""))
    return server


def _keep(message: EmailMessage, folder: Path) -> None:
    """One file a mail, whole before it has its name, readable by its owner alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d_%H%M%S", time.gmtime())
    name = f"{stamp}_{uuid.uuid4().hex[:8]}.eml"
    descriptor = os.open(folder / f".{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(message.as_bytes())
    (folder / f".{name}").rename(folder / name)
