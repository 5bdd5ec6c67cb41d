# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Statements as people read them in a report. For eyes alone: what runs is composed by psycopg.

psycopg before 3.2 cannot render an identifier without a connection, and a decision is made without one.
"""

from __future__ import annotations

HIDDEN = "'…'"


def identifier(*parts: str) -> str:
    """*parts* as PostgreSQL quotes a qualified name."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def statement(template: str, *values: str | int) -> str:
    """*template* with its names quoted and its numbers as they are."""
    return template.format(*(identifier(value) if isinstance(value, str) else value for value in values))
