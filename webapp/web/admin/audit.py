"""The audit log: filters, pages, and the same as a file."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Any

from flask import Response, render_template, request, stream_with_context

from webapp.http import current_actor, current_session
from webapp.services import audit, audit_log
from webapp.services.audit_log import Filters
from webapp.web.admin.shell import admin_pages
from webapp.web.requests import existing, page_number

blueprint = admin_pages("audit", "/audit-log")

# A cell that begins so is a formula to a spreadsheet.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@blueprint.get("")
def index() -> str:
    """Events by who, what, to what and when."""
    session, filters = current_session(), asked()
    page = existing(audit_log.find(session, current_actor(), filters, page=page_number()))
    chosen = {name: str(value) for name, value in asdict(filters).items() if value}
    actions = audit_log.actions(session)
    return render_template("admin/audit.html", page=page, filters=filters, chosen=chosen, actions=actions)


@blueprint.get("/export.<any(csv, json):form>")
def export(form: str) -> Response:
    """Every event that matches, as a file that is written while it is read. That it was taken is an event too."""
    session, actor, filters = current_session(), current_actor(), asked()
    chosen = {name: str(value) for name, value in asdict(filters).items() if value}
    audit.record(session, actor, "audit.export", form, details=chosen)
    session.commit()
    events = audit_log.export(session, actor, filters)
    lines = as_csv(events) if form == "csv" else (json.dumps(event) + "\n" for event in events)
    name = f"audit-log-{datetime.now(UTC):%Y%m%d}.{'csv' if form == 'csv' else 'ndjson'}"
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    mimetype = "text/csv" if form == "csv" else "application/x-ndjson"
    return Response(stream_with_context(lines), mimetype=mimetype, headers=headers)


def asked() -> Filters:
    """The filters of the address; a day that is none is left out."""
    words = {name: request.args.get(name, "")[:200] for name in ("who", "action", "subject")}
    return Filters(**words, since=_day("since"), until=_day("until"))


def _day(name: str) -> date | None:
    try:
        day = date.fromisoformat(request.args.get(name, ""))
    except ValueError:
        return None
    return day if day < date.max else None


def as_csv(events: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Lines of a CSV file with its head."""
    yield _line(list(audit_log.COLUMNS))
    for event in events:
        yield _line([_cell(event[name]) for name in audit_log.COLUMNS])


def _cell(value: Any) -> str:
    text = "" if value is None else json.dumps(value) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def _line(cells: list[str]) -> str:
    held = io.StringIO()
    csv.writer(held).writerow(cells)
    return held.getvalue()
