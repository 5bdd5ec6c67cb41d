"""What commands on the control database share: a session, and results as text or JSON."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.db import make_engine, make_sessions
from webapp.embedded.environment import use_embedded
from webapp.services.errors import ServiceError

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@contextmanager
def control_session() -> Iterator[Session]:
    """A session on the control database; a rule that says no becomes a sentence and exit code 1."""
    use_embedded()
    engine = make_engine(settings().database_url.get_secret_value(), pool_size=1)
    try:
        with make_sessions(engine)() as session:
            yield session
    except ServiceError as error:
        details = "".join(f"\n  {field}: {' '.join(words)}" for field, words in (error.errors or {}).items())
        raise click.ClickException(f"{error}{details}") from None
    finally:
        engine.dispose()


def show(values: Any, text: str, json_wanted: bool) -> None:
    click.echo(json.dumps(values) if json_wanted else text)
