"""Pages of a query, with the total that the API promises."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Page[T]:
    """One page; `total` counts all rows of the query."""

    items: list[T]
    total: int
    page: int
    limit: int

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.limit))


def paginate(session: Session, query: Select[Any], *, page: int, limit: int) -> Page[Any]:
    """Run *query* (already ordered) for one page, counting from 1."""
    total = session.scalar(select(func.count()).select_from(query.order_by(None).subquery())) or 0
    items = list(session.scalars(query.limit(limit).offset((page - 1) * limit)).unique())
    return Page(items, total, page, limit)
