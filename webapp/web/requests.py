"""What several pages read from a request."""

from flask import abort, redirect, request, url_for

from webapp.services.paging import Page

LAST_PAGE = 10_000


def page_number() -> int:
    """The page asked for; anything that is none means the first."""
    page = request.args.get("page", 1, type=int)
    return min(max(page, 1), LAST_PAGE)


def existing[T](page: Page[T]) -> Page[T]:
    """*page* itself; a page after the last one leads to the last, since an empty list would read as nothing there."""
    if request.method == "GET" and page.page > page.pages:
        asked = request.args.to_dict(flat=False) | {"page": page.pages} | (request.view_args or {})
        abort(redirect(url_for(request.endpoint or "", **asked)))
    return page
