"""What is mended in PgBouncer's source before it is built: how it passes on a client's search_path.

PgBouncer 1.21 and later keep the search_path of each client at the pooled door. An empty one, as pg_dump sets, is
passed on as `SET search_path=;`, which cuts the client off, or (newer sources) not at all, so that the client works
under another's. And of one longer than 300 bytes the last byte is lost.
"""

from __future__ import annotations

import re
from pathlib import Path

# Told by `pgbouncer --version`; another one for each set of changes, so that what was built before is replaced.
MARK = "+dbhost1"
FILE = Path("src/varcache.c")
_EMPTY = 'if (strcmp(cval->str, "\\"\\"") == 0) {'
_CHANGES = {
    _EMPTY: _EMPTY.replace("if (", "if (!*cval->str || ", 1),
    "char *buf2 = malloc(sizeof(char)*len);": "char *buf2 = malloc(len + 1);",
    'snprintf(buf2, len, "SET %s=%s;", key, tmp);': 'snprintf(buf2, len + 1, "SET %s=%s;", key, tmp);',
}
# Newer sources leave an empty value out: then only of parameters that are not a list.
_SKIPPED = "if (!cval || !sval || !*cval->str)"
_NOT_SKIPPED = 'if (!cval || !sval || (!*cval->str && strcasecmp(key, "search_path") != 0))'


def apply(source: Path) -> bool:
    """Mend the unpacked *source*, and mark its version; False, and nothing is changed, where it looks otherwise."""
    file, script = source / FILE, source / "configure"
    text = file.read_text(encoding="utf-8")
    if not all(text.count(old) == 1 for old in _CHANGES):
        return False
    for old, new in (*_CHANGES.items(), (_SKIPPED, _NOT_SKIPPED)):
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")
    marked = re.sub(r"^(PACKAGE_(?:VERSION|STRING)='[^']*)'", rf"\g<1>{MARK}'", script.read_text("utf-8"), flags=re.M)
    script.write_text(marked, encoding="utf-8")
    return True
