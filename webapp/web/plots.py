"""Small plots of a database's metrics: the lines as SVG paths, and the same in words."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from webapp.services.metrics import Metrics
from webapp.services.metrics import Point as Sample
from webapp.services.sizes import pretty as size

WIDTH, HEIGHT = 320, 72
RANGES = {"hour": "Hour", "day": "Day", "week": "Week", "month": "Month", "year": "Year"}


@dataclass(frozen=True)
class Plot:
    """One plot; `line` and `area` are empty when there is nothing to draw."""

    name: str
    title: str
    latest: str
    summary: str
    line: str
    area: str


@dataclass(frozen=True)
class Kind:
    """What is plotted of a point, how its values are written, and the top of the scale if that is known."""

    name: str
    title: str
    value: Callable[[Sample], float | None]
    words: Callable[[float], str]
    top: float | None = None


def _rate(value: float) -> str:
    return f"{value:.2g}/s" if value < 10 else f"{value:.0f}/s"


KINDS = (
    Kind("size", "Size", lambda sample: sample.size_bytes, lambda value: size(int(value))),
    Kind("clients", "Clients", lambda sample: sample.clients_active + sample.clients_waiting, "{:.0f}".format),
    Kind("transactions", "Transactions", lambda sample: sample.transactions_per_s, _rate),
    Kind("cache", "Read from memory", lambda sample: sample.cache_hit_ratio, "{:.1%}".format, top=1.0),
)


def plots(metrics: Metrics, length: timedelta, now: datetime) -> list[Plot]:
    """The plots of *metrics* over the *length* of time before *now*."""
    return [plot(kind, metrics, length, now) for kind in KINDS]


def plot(kind: Kind, metrics: Metrics, length: timedelta, now: datetime) -> Plot:
    """One plot. Where there is no point for longer than a step, the line has a gap."""
    found = [(point.at, kind.value(point)) for point in metrics.series]
    known = [(at, value) for at, value in found if value is not None]
    if not known:
        return Plot(kind.name, kind.title, "-", "Nothing is known yet.", "", "")
    values = [value for _, value in known]
    top = kind.top or max(values) or 1.0
    runs = _runs([(at + metrics.step / 2, value) for at, value in known], metrics.step)
    drawn = [[_place(at, value, now, length, top) for at, value in run] for run in runs]
    least, most, last = (kind.words(value) for value in (min(values), max(values), values[-1]))
    summary = f"Last {last}; between {least} and {most}." if least != most else f"{last} all the time."
    return Plot(kind.name, kind.title, last, summary, "".join(map(_line, drawn)), "".join(map(_area, drawn)))


type Point = tuple[datetime, float]
type Spot = tuple[float, float]


def _runs(points: list[Point], step: timedelta) -> list[list[Point]]:
    runs: list[list[Point]] = []
    for point in points:
        if runs and point[0] - runs[-1][-1][0] <= step * 1.5:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs


def _place(at: datetime, value: float, now: datetime, length: timedelta, top: float) -> Spot:
    """Time to the right, values up; two pixels are left so that a line at the edge is whole."""
    x = WIDTH * (1 - (now - at) / length)
    return round(min(max(x, 0.0), WIDTH), 1), round(2 + (HEIGHT - 4) * (1 - min(value / top, 1.0)), 1)


def _line(run: list[Spot]) -> str:
    """A single spot becomes a short stroke, or nobody would see it."""
    spots = run if len(run) > 1 else [run[0], (run[0][0] + 2, run[0][1])]
    return "M" + "L".join(f"{x} {y}" for x, y in spots)


def _area(run: list[Spot]) -> str:
    return f"{_line(run)}V{HEIGHT}H{run[0][0]}Z"
