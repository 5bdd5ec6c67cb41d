"""Where new databases go: to a host that is well, and never to one that is short of something."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from tests.support.reports import keep, make_report
from webapp.models import Host
from webapp.services import health, hosts
from webapp.services.actors import SYSTEM
from webapp.services.errors import HostUnavailable
from webapp.services.shortages import short_of

GB = 1024**3
FULL_DISK = {"purpose": "data", "path": "/", "total_bytes": 100 * GB, "free_bytes": GB}
SHORT: dict[str, dict[str, Any]] = {
    "disk": {"disks": [{"purpose": "data", "path": "/", "total_bytes": 100, "free_bytes": 50}, FULL_DISK]},
    "memory": {"memory": {"total_bytes": 100, "available_bytes": 2}},
    "connections": {
        "postgres": {"version": "18.0", "max_connections": 100, "connections": 91, "started_at": datetime.now(UTC)}
    },
}


@pytest.fixture
def two(session: Session) -> list[Host]:
    return [hosts.ensure_host(session, SYSTEM, name, f"{name}.example.com", 6432) for name in ("db1", "db2")]


@pytest.mark.parametrize("shortage", SHORT)
def test_a_host_that_is_short_of_something_gets_no_database_until_it_is_not(
    session: Session, two: list[Host], shortage: str
) -> None:
    first, second = two
    keep(session, first, make_report(**SHORT[shortage]))
    assert hosts.place(session) is second
    keep(session, second, make_report(**SHORT[shortage]))
    with pytest.raises(HostUnavailable, match="short of disk, memory or connections"):
        hosts.place(session)
    [figures, _] = health.host_figures(session)
    assert f"The host is short of {shortage}: it gets no new databases." in figures.problems
    keep(session, first, make_report())
    assert hosts.place(session) is first


def test_a_host_with_problems_comes_after_those_that_are_well(session: Session, two: list[Host]) -> None:
    first, second = two
    first.unhealthy_since = datetime.now(UTC)
    assert hosts.place(session) is second
    second.unhealthy_since = datetime.now(UTC)
    assert hosts.place(session) is first


def test_what_a_report_does_not_say_is_no_shortage() -> None:
    assert short_of(make_report(disks=None, memory=None, postgres=None)) is None
    small = {"purpose": "data", "path": "/", "total_bytes": GB, "free_bytes": GB // 5}
    assert short_of(make_report(disks=[small])) is None
