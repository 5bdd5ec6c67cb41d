"""`python -m webapp.standins.stripe --port 12111 --webhook http://127.0.0.1:8000/webhooks/stripe`"""

import click
from werkzeug.serving import run_simple

from webapp.standins.stripe.app import create_app


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=12111, show_default=True)
@click.option("--webhook", default="http://127.0.0.1:8000/webhooks/stripe", show_default=True, help="Told of events.")
@click.option("--secret", default="whsec_standin", show_default=True, help="The value of STRIPE_WEBHOOK_SECRET.")
def main(host: str, port: int, webhook: str, secret: str) -> None:
    """A Stripe that takes no money. Point STRIPE_API_BASE at it; any STRIPE_API_KEY that begins with sk_ will do."""
    address = f"http://{host}:{port}"
    click.echo(f"STRIPE_API_BASE={address} STRIPE_API_KEY=sk_test_standin STRIPE_WEBHOOK_SECRET={secret}")
    run_simple(host, port, create_app(address, webhook, secret), threaded=True)


if __name__ == "__main__":
    main()
