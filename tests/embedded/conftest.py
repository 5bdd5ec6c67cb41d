"""A stack of the current user below a folder of its own, never started."""

from dataclasses import replace
from pathlib import Path

import pytest

from webapp.embedded import environment, layout
from webapp.embedded.environment import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    loaded = environment.load({"DBHOST_HOME": str(tmp_path / "home")})
    me = environment.user_name(loaded_uid())
    alone = replace(loaded, as_root=False, postgres_user=me, agent_user=me, web_user=me, dump_user=me)
    layout.ensure(alone)
    return alone


def loaded_uid() -> int:
    return Path("/proc/self").stat().st_uid
