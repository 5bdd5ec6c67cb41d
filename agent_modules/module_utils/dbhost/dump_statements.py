# Copyright: DBHost contributors
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What becomes of one whole statement of a dump from elsewhere: passed on, left out, or replaced. Pure.

A statement is never changed in part: a replacement carries out the statement as it stands, or says the same of less.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable

from .dump_tokens import PASS, QUIET, Decision, Known, Token, has_comma, tokens

_STANDARD = re.compile(rb"standard_conforming_strings'?\s*(?:=|to\s|,)\s*'?(\w+)")
_WORDS_OF_HEAD = 8
_SPECIAL_SETTINGS = ("time", "names", "schema", "session", "local", "transaction", "constraints", "xml", "seed", "role")
_ROLE_WORDS = ("public", "current_user", "current_role", "session_user")
_OF_SUPERUSERS = (["for", "all", "tables"], ["for", "all", "sequences"], ["tables", "in", "schema"])
_REMOVALS = {("drop", "constraint"), ("drop", "default"), ("drop", "identity"), ("detach", "partition")}
ROLES, DATABASES = ("role", "user", "group"), ("database", "tablespace")
_RIGHTS = ("grant", "revoke", "reassign")
_COMMENTED = ("database", "extension", "role", "tablespace", "event", "language", "procedural", "subscription")


def decide(statement: bytes, known: Known) -> Decision:
    """What becomes of *statement*, which is whole."""
    head = tokens(statement, _WORDS_OF_HEAD)
    decider = _DECIDERS.get(head[0].text) if head and head[0].kind == "word" else None
    if head == [";"] or not head:
        return QUIET
    return decider(statement, head, known) if decider else PASS


def transaction(statement: bytes) -> bool | None:
    """True if *statement* begins a transaction, False if it ends one, else None."""
    words = [token.text for token in tokens(statement, 4)]
    if words[:1] == ["begin"] or words[:2] == ["start", "transaction"]:
        return True
    if words[:1] in (["commit"], ["end"], ["rollback"], ["abort"]) and "chain" not in words and "to" not in words[1:3]:
        return False
    return False if words[:2] == ["prepare", "transaction"] else None


def standard_strings(statement: bytes) -> bool | None:
    """What *statement* says of standard_conforming_strings, by which psql reads strings."""
    words = [token.text for token in tokens(statement, 12)]
    if words[:1] == ["reset"] and words[1:2] in (["all"], ["standard_conforming_strings"]):
        return True
    found = _STANDARD.search(statement.lower()) if words[:1] in (["set"], ["select"]) else None
    return found[1] in (b"on", b"true", b"yes", b"1", b"default") if found else None


def _rights(_statement: bytes, head: list[Token], _known: Known) -> Decision:
    return Decision(head[0].text.upper())


def _set(_statement: bytes, head: list[Token], known: Known) -> Decision:
    words = [token.text for token in head[1:]]
    if words[:1] in (["session"], ["local"]) and words[1:2] not in (["characteristics"], []):
        if words[1:2] == ["authorization"]:
            return Decision("SET SESSION AUTHORIZATION")
        words = words[1:]
    name = words[0].lower() if words else ""
    value = words[2] if len(words) > 2 else ""
    if name == "role":
        return Decision("SET ROLE")
    if (name == "default_tablespace" and value) or (name == "default_table_access_method" and value != "heap"):
        return Decision(f"SET {name}")
    if name in _SPECIAL_SETTINGS or "." in words[1:2] or "." in name:
        return QUIET
    return QUIET if name in known.target.settings else Decision(f"SET {name}"[:80])


def _reset(_statement: bytes, head: list[Token], known: Known) -> Decision:
    words = [token.text for token in head[1:3]]
    if words == ["session", "authorization"] or words[:1] == ["role"]:
        return Decision(f"RESET {' '.join(words)}".upper().rstrip(" ;"))
    name = words[0].lower() if words else ""
    return QUIET if name in (*known.target.settings, "all", *_SPECIAL_SETTINGS) else Decision(f"RESET {name}"[:80])


def _create(statement: bytes, head: list[Token], known: Known) -> Decision:
    words = [token.text for token in head[1:] if token.text not in ("or", "replace", "trusted") or token.kind != "word"]
    kind = words[0] if words else ""
    if kind in ROLES and words[1:2] != ["mapping"]:
        return Decision(f"CREATE {kind.upper()}")
    if kind in DATABASES or kind == "subscription" or words[:2] == ["event", "trigger"]:
        return _leave_out(known, "CREATE", kind if kind != "event" else "event trigger", head)
    if kind in ("language", "procedural") and "plpgsql" in words[1:3]:
        return Decision("CREATE LANGUAGE plpgsql")
    decider = {"extension": _create_extension, "publication": _create_publication, "schema": _create_schema}.get(kind)
    if decider:
        return decider(statement, words, known)
    return _policy(statement, known, "CREATE") if kind == "policy" else PASS


def _leave_out(known: Known, verb: str, kind: str, head: list[Token]) -> Decision:
    name = head[1 + len(kind.split())].text if len(head) > 1 + len(kind.split()) else ""
    known.gone.add((kind, name))
    return Decision(f"{verb} {kind.upper()}")


def _create_extension(_statement: bytes, words: list[str], known: Known) -> Decision:
    name = _after_exists(words[1:])
    if name == "plpgsql":
        return Decision("CREATE EXTENSION plpgsql")
    if name in known.target.extensions:
        return PASS
    known.gone.add(("extension", name))
    return Decision(f"CREATE EXTENSION {name}"[:120])


def _create_publication(statement: bytes, words: list[str], known: Known) -> Decision:
    if _reaches_all(tokens(statement)):
        known.gone.add(("publication", words[1]))
        return Decision("CREATE PUBLICATION")
    return PASS


def _create_schema(statement: bytes, words: list[str], known: Known) -> Decision:
    listed = tokens(statement, 12)
    if words[1:] in (["public", ";"], ["public"]):
        return Decision(instead=b"CREATE SCHEMA IF NOT EXISTS public;", makes=False)
    owned = [token.text for token in listed]
    if len(owned) in (6, 9) and owned[-3::2] == ["authorization", ";"] and owned[-2] not in known.target.roles:
        name = listed[-4].text.replace('"', '""')
        exists = "IF NOT EXISTS " if len(owned) == 9 else ""
        return Decision("AUTHORIZATION of CREATE SCHEMA", f'CREATE SCHEMA {exists}"{name}";'.encode())
    return PASS


def _policy(statement: bytes, known: Known, verb: str) -> Decision:
    """A policy only for roles that are not here holds for nobody, and one that permits can be left out without harm."""
    listed = tokens(statement)
    if ("policy", listed[2].text if len(listed) > 2 else "") in known.gone and verb != "CREATE":
        return Decision(f"{verb} POLICY")
    named = _policy_roles(listed)
    missing = [name for name in named if name not in known.target.roles]
    restricts = "restrictive" in [token.text for token in listed if token.kind == "word"]
    if not missing or (restricts and len(missing) < len(named)):
        return PASS
    known.gone.add(("policy", listed[2].text))
    return Decision(f"{verb} POLICY for a role that does not exist here")


def _policy_roles(listed: list[Token]) -> list[str]:
    """The roles after TO, before USING or WITH CHECK: neither may stand before it."""
    names: list[str] = []
    is_listed = False
    for part in listed[5:]:
        if part.kind == "word" and part.text in ("using", "with", "rename"):
            break
        if part.kind in ("word", "name") and is_listed and not (part.kind == "word" and part.text in _ROLE_WORDS):
            names.append(part.text)
        is_listed = is_listed or part == "to"
    return names


def _alter(statement: bytes, head: list[Token], known: Known) -> Decision:
    words = [part.text for part in head[1:]]
    kind = words[0] if words else ""
    if (kind in ROLES and words[1:2] != ["mapping"]) or kind in (*DATABASES, "subscription"):
        return Decision(f"ALTER {kind.upper()}")
    if words[:2] in (["event", "trigger"], ["default", "privileges"]):
        return Decision(f"ALTER {' '.join(words[:2])}".upper())
    listed = tokens(statement)
    if len(listed) > 4 and listed[-4:-2] == ["owner", "to"] and listed[-1] == ";" and not has_comma(listed):
        return Decision("ALTER … OWNER TO")
    if kind == "publication" and (("publication", words[1]) in known.gone or _reaches_all(listed)):
        return Decision("ALTER PUBLICATION")
    if kind == "extension" and ("extension", words[1]) in known.gone:
        return Decision("ALTER EXTENSION")
    if kind == "policy" and len(words) > 1:
        return _policy(statement, known, "ALTER")
    if kind in ("language", "procedural") and "plpgsql" in words[1:3]:
        return Decision("ALTER LANGUAGE plpgsql")
    return _removal(statement, listed, known, "ALTER … DROP") if _only_removes(listed) else PASS


def _reaches_all(listed: list[Token]) -> bool:
    """Whether a publication is one that only a superuser makes."""
    texts = [part.text for part in listed if part.kind == "word"]
    return any(texts[at : at + 3] in _OF_SUPERUSERS for at in range(len(texts)))


def _only_removes(listed: list[Token]) -> bool:
    """ALTER TABLE with DROP CONSTRAINT, DROP DEFAULT or DETACH PARTITION, as `pg_dump --clean` writes them."""
    texts = [part.text if part.kind == "word" else "" for part in listed]
    pairs = set(itertools.pairwise(texts))
    return bool(_REMOVALS & pairs) and not has_comma(listed) and texts[1] in ("table", "domain")


def _drop(statement: bytes, head: list[Token], known: Known) -> Decision:
    words = [part.text for part in head[1:]]
    kind = words[0] if words else ""
    if (kind in ROLES and words[1:2] != ["mapping"]) or kind in (*DATABASES, "subscription"):
        return Decision(f"DROP {kind.upper()}")
    if words[:2] == ["event", "trigger"]:
        return Decision("DROP EVENT TRIGGER")
    if kind == "owned":
        return Decision("DROP OWNED")
    name = _after_exists(words[1:])
    if kind in ("extension", "language") and (name == "plpgsql" or (kind, name) in known.gone):
        return Decision(f"DROP {kind.upper()} {name}"[:120])
    if kind == "procedural" and _after_exists(words[2:]) == "plpgsql":
        return Decision("DROP LANGUAGE plpgsql")
    return _removal(statement, tokens(statement), known, f"DROP {kind.upper()}"[:80])


def _removal(statement: bytes, listed: list[Token], known: Known, label: str) -> Decision:
    """What removes an object that is not there: nothing is, before something was made."""
    if not known.something_made:
        return Decision(label)
    texts = [part.text for part in listed if part.kind == "word"]
    if "concurrently" in texts or any(texts[at : at + 2] == ["if", "exists"] for at in range(len(texts))):
        return PASS
    return Decision(instead=_tolerant(statement))


def _tolerant(statement: bytes) -> bytes:
    """*statement* as it stands, carried out unless what it removes is not there."""
    tag = b"$dbhost$"
    while tag in statement:
        tag = tag[:-1] + b"x$"
    return (
        b"DO $" + tag[1:-1] + b"o$ BEGIN EXECUTE " + tag + statement.rstrip(b"; \t\r\n") + tag + b"; EXCEPTION WHEN "
        b"undefined_table OR undefined_object OR undefined_function OR undefined_column OR invalid_schema_name "
        b"THEN NULL; END $" + tag[1:-1] + b"o$;"
    )


def _comment(_statement: bytes, head: list[Token], known: Known) -> Decision:
    words = [part.text for part in head[2:]]
    kind = words[0] if words else ""
    if kind in _COMMENTED:
        return Decision(f"COMMENT ON {'EVENT TRIGGER' if kind == 'event' else kind.upper()}")
    if kind in ("publication", "policy") and len(words) > 1 and (kind, words[1]) in known.gone:
        return Decision(f"COMMENT ON {kind.upper()}")
    return QUIET


def _security(_statement: bytes, head: list[Token], _known: Known) -> Decision:
    return Decision("SECURITY LABEL") if head[1:2] == ["label"] else PASS


def _select(statement: bytes, _head: list[Token], known: Known) -> Decision:
    listed = [part.text for part in tokens(statement, 24)]
    if "set_config" in listed:
        return QUIET
    if "lo_unlink" in listed and not known.something_made:
        return Decision("SELECT lo_unlink")
    return PASS


def _copy(statement: bytes, _head: list[Token], _known: Known) -> Decision:
    """Whether psql will read rows: FROM STDIN outside parentheses, in any of COPY's forms."""
    depth, previous = 0, ""
    for part in tokens(statement):
        depth += (part == "(") - (part == ")")
        if depth == 0 and part == "stdin" and previous == "from":
            return Decision(copies_in=True)
        previous = part.text if part.kind == "word" else ""
    return PASS


def _quiet(_statement: bytes, _head: list[Token], _known: Known) -> Decision:
    return QUIET


def _after_exists(words: list[str]) -> str:
    """The name after IF [NOT] EXISTS."""
    for length in (3, 2):
        if words[:length] in (["if", "not", "exists"], ["if", "exists"]):
            words = words[length:]
    return words[0] if words else ""


_DECIDERS: dict[str, Callable[[bytes, list[Token], Known], Decision]] = {
    **dict.fromkeys(_RIGHTS, _rights),
    **dict.fromkeys(("begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"), _quiet),
    **dict.fromkeys(("lock", "analyze", "vacuum", "discard", "show", "checkpoint"), _quiet),
    "alter": _alter,
    "comment": _comment,
    "copy": _copy,
    "create": _create,
    "drop": _drop,
    "reset": _reset,
    "security": _security,
    "select": _select,
    "set": _set,
}
