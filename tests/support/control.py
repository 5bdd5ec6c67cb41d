"""A real control database for each test, copied from a migrated template of one cluster a session."""

import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from tests.support.cluster import Cluster
from webapp import database_admin
from webapp.db import make_engine, make_sessions

TEMPLATE = "control_template"


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """One throw-away cluster for the whole session (each xdist worker has its own)."""
    with Cluster() as running:
        yield running


@pytest.fixture(scope="session")
def control_template(cluster: Cluster) -> str:
    """The name of a database with the newest schema and no rows."""
    database_admin.upgrade(cluster.create_database(TEMPLATE))
    return TEMPLATE


@pytest.fixture
def control_url(cluster: Cluster, control_template: str) -> Iterator[str]:
    """The URL of this test's own control database, migrated and empty; dropped at the end."""
    name = f"control_{uuid.uuid4().hex[:12]}"
    yield cluster.create_database(name, control_template)
    cluster.drop_database(name)


@pytest.fixture
def control_engine(control_url: str) -> Iterator[Engine]:
    """An engine on this test's control database."""
    engine = make_engine(control_url, patience_s=60)
    yield engine
    engine.dispose()


@pytest.fixture
def control_sessions(control_engine: Engine) -> sessionmaker[Session]:
    """What opens sessions on this test's control database, as the application does."""
    return make_sessions(control_engine)


@pytest.fixture
def session(control_sessions: sessionmaker[Session]) -> Iterator[Session]:
    """One open session on this test's control database; commit what others shall see."""
    with control_sessions() as opened:
        yield opened
