"""What happened during this request, for the guards: was somebody's permission checked, was the change recorded."""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Marks:
    """Set by `access` and `audit`; read at the end of each request under test."""

    authorized: bool = False
    audited: bool = False


_marks: ContextVar[Marks | None] = ContextVar("marks", default=None)


def begin() -> Marks:
    """Start a request with nothing marked."""
    marks = Marks()
    _marks.set(marks)
    return marks


def mark_authorized() -> None:
    """A permission was checked, or the place is public on purpose."""
    if marks := _marks.get():
        marks.authorized = True


def mark_audited() -> None:
    """An audit event was recorded."""
    if marks := _marks.get():
        marks.audited = True


def mark_refused() -> None:
    """The request was turned away by leading elsewhere: nothing was shown or changed, so there is nothing to record."""
    mark_authorized()
    mark_audited()
