"""Template filters: times, durations and sizes as people read them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask
from markupsafe import Markup

from webapp.models import Operation
from webapp.services.deletions import takes_final_backup
from webapp.services.sizes import pretty
from webapp.web import words

MASK = "•" * 12
STILL_NEWS = timedelta(minutes=1)
UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def ago(moment: datetime, now: datetime | None = None) -> str:
    """How long ago *moment* was, by its largest unit; a date after a month."""
    seconds = ((now or datetime.now(UTC)) - moment).total_seconds()
    if seconds >= 30 * 86400:
        return f"{moment.astimezone(UTC):%b %-d, %Y}"
    for length, unit in UNITS:
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "just now"


def timestamp(moment: datetime | None) -> Markup:
    """A `<time>` that reads relative and carries the exact moment."""
    if moment is None:
        return Markup('<span class="faint">never</span>')
    exact = moment.astimezone(UTC)
    return Markup('<time datetime="{}" title="{:%Y-%m-%d %H:%M:%S} UTC">{}</time>').format(
        exact.isoformat(timespec="seconds"), exact, ago(moment)
    )


def duration(start: datetime | None, end: datetime | None) -> str:
    """The time between two moments: milliseconds under a second, then seconds, then minutes."""
    if start is None or end is None:
        return "-"
    seconds = max(0.0, (end - start).total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def browser(user_agent: str | None) -> str:
    """A short name of a browser and its system, good enough to recognise one's own."""
    text = user_agent or ""
    names = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
    systems = {
        "Android": "Android", "iPhone": "iPhone", "iPad": "iPad", "Mac OS X": "macOS", "Windows": "Windows",
        "Linux": "Linux",
    }  # fmt: skip
    name = next((name for mark, name in names.items() if mark in text), None)
    system = next((system for mark, system in systems.items() if mark in text), None)
    return f"{name or 'Unknown browser'} on {system}" if system else name or "Unknown browser"


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON for people to read: letters as they are, escaped by the template like any other text."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def just_ended(operation: Operation) -> bool:
    """Whether the operation ended so recently that its page should still say so."""
    return operation.ended_at is not None and datetime.now(UTC) - operation.ended_at < STILL_NEWS


def register(app: Flask) -> None:
    """Make the filters and words known to the templates."""
    app.jinja_env.filters.update(timestamp=timestamp, duration=duration, size=pretty, browser=browser)
    app.jinja_env.filters.update(json_text=json_text)
    app.jinja_env.tests.update(just_ended=just_ended, routed=app.view_functions.__contains__)
    app.jinja_env.globals.update(
        MASK=MASK,
        operation_words=words.operation_words,
        headline=words.headline,
        step_words=words.step_words,
        action_words=words.action_words,
        action_alone=words.action_alone,
        action_icon=words.action_icon,
        event_subject=words.event_subject,
        STATE_WORDS=words.STATES,
        takes_final_backup=takes_final_backup,
    )
