"""`dbhost mail`: whether this installation can send any."""

import click

from webapp.config import settings
from webapp.embedded.environment import use_embedded
from webapp.gateways import mail as mail_gateway
from webapp.services import mails


@click.group()
def mail() -> None:
    """Mail of this installation."""


@mail.command("test")
@click.argument("email")
def mail_test(email: str) -> None:
    """Send a test message. Without SMTP_URL it is written to DBHOST_HOME/outbox."""
    use_embedded()
    try:
        mail_gateway.check(settings())
        mail_gateway.send(mails.test(email), settings())
    except (mail_gateway.MailError, *mail_gateway.FAILURES) as error:
        raise click.ClickException(f"The message was not sent: {error}") from None
    click.echo("Sent." if settings().smtp_url else f"Written to {settings().home / 'outbox'}: SMTP_URL is not set.")
