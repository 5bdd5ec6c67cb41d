# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text as a literal of SQL."""

from __future__ import annotations


def literal(text: str) -> str:
    """*text* between single quotes, for a session with standard_conforming_strings, as dumps set it."""
    return "'" + text.replace("'", "''") + "'"


def quoted(text: str) -> str:
    """*text* between dollar quotes that do not occur in it."""
    number = 0
    while (mark := f"$dbhost{number or ''}$") in text:
        number += 1
    return f"{mark}{text}{mark}"


def identifier(name: str) -> str:
    """*name* between double quotes."""
    return '"' + name.replace('"', '""') + '"'
