"""The stand-in as a Flask app of its own."""

from flask import Flask

from webapp.standins.stripe import api, pages
from webapp.standins.stripe.deliver import Deliverer
from webapp.standins.stripe.store import Store


def create_app(address: str, webhook_url: str | None, webhook_secret: str) -> Flask:
    """Serve at *address*; tell *webhook_url* of every event, signed with *webhook_secret*."""
    app = Flask(__name__)
    deliverer = Deliverer(webhook_url, webhook_secret)
    app.extensions["deliverer"] = deliverer
    app.extensions["store"] = Store(deliverer.tell, address)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(pages.blueprint)
    return app
