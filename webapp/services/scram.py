"""The SCRAM-SHA-256 verifier of a password, made by libpq so that the password itself never travels."""

from typing import cast

import psycopg
from sqlalchemy.orm import Session


def scram_verifier(session: Session, password: str) -> str:
    """PostgreSQL's stored form of *password*, computed in this process by the session's own libpq."""
    connection = cast("psycopg.Connection[object]", session.connection().connection.driver_connection)
    return connection.pgconn.encrypt_password(password.encode(), b"", b"scram-sha-256").decode()
