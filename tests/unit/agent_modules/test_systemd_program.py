"""What the module asks of systemd, without a systemd."""

import pytest

from agent_modules.modules.systemd_program import Unit, actions

RUNNING = Unit(running=True, started_at=1000, enabled=True, stale=False)
STOPPED = Unit(running=False, started_at=0, enabled=True, stale=False)


@pytest.mark.parametrize(
    ("unit", "state", "changed_at", "wanted"),
    [
        (RUNNING, "started", 900.0, []),
        (RUNNING, "started", 1000.9, []),
        (RUNNING, "started", 1001.0, ["restart"]),
        (RUNNING, "restarted", 900.0, ["restart"]),
        (STOPPED, "started", 900.0, ["start"]),
        (STOPPED, "restarted", 900.0, ["start"]),
        (Unit(True, 1000, enabled=False, stale=True), "started", 1001.0, ["daemon-reload", "enable", "restart"]),
        (Unit(False, 0, enabled=False, stale=False), "started", 0.0, ["enable", "start"]),
    ],
)
def test_actions(unit: Unit, state: str, changed_at: float, wanted: list[str]) -> None:
    assert actions(unit, state, changed_at) == wanted
