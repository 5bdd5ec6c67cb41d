"""What several pages read from a request."""

from flask import request

LAST_PAGE = 10_000


def page_number() -> int:
    """The page asked for; anything that is none means the first."""
    page = request.args.get("page", 1, type=int)
    return min(max(page, 1), LAST_PAGE)
