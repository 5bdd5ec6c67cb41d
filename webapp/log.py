"""Logging for every process: one event a line, JSON unless a person is watching."""

import logging
import sys
from collections.abc import Sequence

import structlog
from structlog.typing import Processor

QUIET = {"procrastinate": logging.WARNING, "psycopg.pool": logging.ERROR, "alembic": logging.WARNING}


def configure(level: int = logging.INFO) -> None:
    """Send structlog's events and the standard library's records to stdout in one format."""
    watched = sys.stdout.isatty()
    last: Processor = structlog.dev.ConsoleRenderer() if watched else structlog.processors.JSONRenderer()
    finish: Sequence[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
    if not watched:
        finish = [finish[0], structlog.processors.format_exc_info, last]
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_shared(), processors=finish))
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name, quiet in QUIET.items():
        logging.getLogger(name).setLevel(quiet)
    structlog.configure(
        processors=[*_shared(), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _shared() -> list[Processor]:
    """What every line gets, whoever logged it."""
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
