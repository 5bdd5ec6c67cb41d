"""These tests look at hosts that molecule made (molecule/); without it there is nothing to collect."""

from __future__ import annotations

import os

from tests.scenarios.hosts import HOME_VARIABLE

collect_ignore_glob = [] if os.environ.get(HOME_VARIABLE) else ["*/test_*.py"]
