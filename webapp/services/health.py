"""How the installation is: its hosts, what waits for them, and what they said last."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Float, case, cast, func, literal, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from webapp.config import settings
from webapp.models import Database, DatabaseFigures, Host, HostReport, Operation
from webapp.services import hosts
from webapp.services.reports import Report
from webapp.services.shortages import short_of

STUCK_AFTER_S = 60.0
DISK_FULL_AT = 0.9
CERTIFICATE_WARNING = timedelta(days=14)
# A report is late now and then, when its host has work: only one that stays away means something.
MISSED_REPORTS = 4
GRACE_S = 60.0
# The greater part of a report by far, and of no use here.
WITHOUT_DATABASES = HostReport.report.op("-", return_type=JSONB)(literal("databases"))


@dataclass(frozen=True)
class HostFigures:
    """One host's load; `oldest_open_s` is how long the oldest operation that has not ended waits or runs."""

    name: str
    state: str
    region: str
    key_refused_at: datetime | None
    databases: int
    capacity: int
    open_operations: int
    oldest_open_s: float
    known_for_s: float
    reported_at: datetime | None
    report_age_s: float | None
    report: Report | None
    report_error: str | None

    @property
    def is_healthy(self) -> bool:
        """Reachable on purpose, its operations come to an end, and it says that it is well."""
        return not self.problems

    @property
    def problems(self) -> list[str]:
        """What is wrong, in sentences."""
        found = ["The host is offline."] if self.state == "offline" else []
        if self.key_refused_at is not None:
            found.append("The host shows another SSH key than the pinned one. Nothing runs on it until it is rekeyed.")
        if self.oldest_open_s >= STUCK_AFTER_S:
            found.append("An operation has not ended for more than a minute.")
        return [*found, *self._report_problems()]

    def _report_problems(self) -> list[str]:
        every_s = settings().sample_every_s
        if not every_s or self.state not in ("active", "draining") or self.key_refused_at is not None:
            return []
        late_s = self.known_for_s if self.report_age_s is None else self.report_age_s
        if late_s > every_s * MISSED_REPORTS + GRACE_S:
            return [f"The host's last report is too old. {self.report_error or ''}".strip()]
        return report_problems(self.report) if self.report else []


def report_problems(report: Report, now: datetime | None = None) -> list[str]:
    """What a report says is wrong, in sentences."""
    found = [f"{problem.part}: {problem.message}" for problem in report.problems]
    found += [
        f"The filesystem of the {disk.purpose} is more than {DISK_FULL_AT:.0%} full."
        for disk in report.disks or ()
        if disk.free_bytes < disk.total_bytes * (1 - DISK_FULL_AT)
    ]
    if (shortage := short_of(report)) is not None:
        found.append(f"The host is short of {shortage}: it gets no new databases.")
    ends = report.certificate_expires_at
    if ends is not None and ends - (now or datetime.now(UTC)) < certificate_warning(report):
        found.append(f"PgBouncer's certificate ends on {ends:%Y-%m-%d}.")
    return found


def certificate_warning(report: Report) -> timedelta:
    """How long before its end a certificate is a problem: one that lasts for days is renewed in its last ones."""
    if report.certificate_begins_at is None or report.certificate_expires_at is None:
        return CERTIFICATE_WARNING
    return min(CERTIFICATE_WARNING, (report.certificate_expires_at - report.certificate_begins_at) / 6)


def host_figures(session: Session, *conditions: ColumnElement[bool]) -> list[HostFigures]:
    """Each host's figures, by name; of all that were not removed, or of those that meet *conditions* too."""
    databases = (
        select(Database.host_id, func.count().label("number"))
        .where(Database.deleted_at.is_(None))
        .group_by(Database.host_id)
        .subquery()
    )
    waiting = (
        select(Operation.host_id, func.count().label("number"), func.min(Operation.created_at).label("since"))
        .where(Operation.state.in_(("queued", "running")))
        .group_by(Operation.host_id)
        .subquery()
    )
    query = (
        select(
            Host.name,
            Host.state,
            Host.region,
            Host.key_refused_at,
            Host.capacity,
            func.coalesce(databases.c.number, 0).label("databases"),
            func.coalesce(waiting.c.number, 0).label("open_operations"),
            func.coalesce(_age_s(waiting.c.since), 0.0).label("oldest_open_s"),
            _age_s(Host.created_at).label("known_for_s"),
            HostReport.sampled_at.label("reported_at"),
            _age_s(HostReport.sampled_at).label("report_age_s"),
            WITHOUT_DATABASES.label("report"),
            HostReport.error.label("report_error"),
        )
        .outerjoin(databases, databases.c.host_id == Host.id)
        .outerjoin(waiting, waiting.c.host_id == Host.id)
        .outerjoin(HostReport, HostReport.host_id == Host.id)
        .where(hosts.live(), *conditions)
        .order_by(Host.name)
    )
    return [_figures(row) for row in session.execute(query)]


def _age_s(moment: Any) -> Any:
    """Seconds since *moment*, never less than 0 when clocks differ; NULL where there is no moment."""
    age = cast(func.extract("epoch", func.now() - moment), Float)
    return case((age < 0, 0.0), else_=age)


def _figures(row: Any) -> HostFigures:
    report = Report.model_validate({**row.report, "databases": None}) if row.report else None
    return HostFigures(**{**row._mapping, "report": report})


@dataclass(frozen=True)
class DatabaseLine:
    """One live database as a monitor wants it."""

    name: str
    host: str
    size_bytes: int
    clients_active: int
    clients_waiting: int


def database_lines(session: Session) -> list[DatabaseLine]:
    """The live databases that a report has spoken of, by name."""
    columns = Database.size_bytes, DatabaseFigures.clients_active, DatabaseFigures.clients_waiting
    query = (
        select(Database.name, Host.name, *columns)
        .join(Host, Host.id == Database.host_id)
        .join(DatabaseFigures, DatabaseFigures.database_id == Database.id)
        .where(Database.deleted_at.is_(None))
        .order_by(Database.name)
    )
    return [DatabaseLine(*row) for row in session.execute(query)]


def counts_by(session: Session, column: Any, *conditions: Any) -> dict[str, int]:
    """How many rows there are of each value of *column*."""
    rows = session.execute(select(column, func.count()).where(*conditions).group_by(column))
    return {str(value): number for value, number in rows}
