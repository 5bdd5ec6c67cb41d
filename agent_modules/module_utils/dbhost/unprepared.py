# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A database inside which the superuser still has something to do, once (see `installation.prepare_databases`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unprepared:
    """Its name, and whether it lets anybody in."""

    name: str
    is_open: bool
