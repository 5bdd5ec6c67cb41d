"""A tenant may fill the cluster's one queue of notifications: the control plane's work goes on, by looking."""

import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.support import notify_queue
from tests.support.cluster import Cluster
from tests.support.rows import ask, create_many
from tests.worker.conftest import Workers, wait_until
from webapp import database_admin
from webapp.models import Host
from webapp.notify import NOTED_AT_MOST, parsed
from webapp.services.notices import Notices

NOTE = text("SELECT dbhost_note('dbhost_changes', :payload)")
# Functions of triggers, and what they call, by their source.
SENDERS = (
    "SELECT proname FROM pg_proc WHERE prosrc ~* '(pg_notify|\\mNOTIFY\\M)' AND pronamespace = 'public'::regnamespace"
)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """With the smallest queue that PostgreSQL has."""
    with Cluster(**notify_queue.SMALL) as running:
        yield running


@pytest.fixture(scope="module")
def control_template(cluster: Cluster) -> str:
    """The schema, in that cluster."""
    database_admin.upgrade(cluster.create_database("small_template"))
    return "small_template"


@pytest.fixture
def notices(control_url: str) -> Iterator[Notices]:
    listening = Notices(control_url)
    yield listening
    listening.close()


@pytest.fixture
def tenant_url(cluster: Cluster) -> Iterator[str]:
    name = f"tenant_{uuid.uuid4().hex[:8]}"
    yield cluster.create_database(name)
    cluster.drop_database(name)


def test_operations_are_made_and_carried_out(
    workers: Workers, host: Host, session: Session, states: Callable[[], dict[str, int]], tenant_url: str
) -> None:
    workers.start()
    with notify_queue.full(tenant_url):
        with psycopg.connect(tenant_url, autocommit=True) as other, pytest.raises(psycopg.Error, match="too many noti"):
            other.execute("NOTIFY flood, 'full'")
        (operation,) = create_many(session, host, 1)
        wait_until(lambda: states() == {"succeeded": 1})
        ask(session, operation.database, "database.stop", "stopped")
        session.commit()
        wait_until(lambda: states() == {"succeeded": 2})


def test_nothing_sends_a_notice_within_a_transaction(session: Session) -> None:
    """Whatever a trigger of ours or of the queue's does later on: a function with NOTIFY in it is found here."""
    assert session.scalars(text(SENDERS)).all() == []


def test_what_was_noted_is_told_after_the_commit(notices: Notices, session: Session) -> None:
    with notices.subscribe("operation:1") as mine, notices.subscribe("operation:2") as other:
        assert notices._hears.wait(60)
        mine.wait(0.1)
        other.wait(0.1)
        session.execute(NOTE, {"payload": "operation:1"})
        assert not mine.wait(0.3)
        with session.begin_nested():
            pass
        assert not mine.wait(0.3)
        session.commit()
        assert mine.wait(60)
        session.execute(NOTE, {"payload": "operation:2"})
        session.rollback()
        session.commit()
        assert not other.wait(0.3)


def test_much_is_told_as_everything() -> None:
    lines = "".join(f"dbhost_changes operation:{n}\n" for n in range(NOTED_AT_MOST // 20))
    channels, payloads = parsed(lines)
    assert (channels[-1], payloads[-1]) == ("dbhost_changes", "*")
    assert parsed("dbhost_changes run:1\n") == (["dbhost_changes"], ["run:1"])
