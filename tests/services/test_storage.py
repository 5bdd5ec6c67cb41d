"""How much of its plan's storage a database takes."""

import pytest

from webapp.models import Database, User
from webapp.services import plans, storage


@pytest.mark.parametrize(
    ("share", "level"),
    [(0, "well"), (0.79, "well"), (0.8, "warning"), (0.94, "warning"), (0.95, "urgent"), (1, "over"), (9, "over")],
)
def test_levels(share: float, level: str) -> None:
    limit = plans.all_plans()["free"].storage_bytes
    found = storage.usage(Database(size_bytes=round(limit * share), owner=User(plan="free")))
    assert (found.level, found.limit_bytes) == (level, limit)


def test_a_larger_plan_gives_room() -> None:
    database = Database(size_bytes=plans.all_plans()["free"].storage_bytes, owner=User(plan="free"))
    assert storage.usage(database).level == "over"
    database.owner.plan = "pro"
    assert storage.usage(database).level == "well"
