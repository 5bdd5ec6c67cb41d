"""The decision of `tenant_databases`, as a table, without a database."""

from dataclasses import replace

import pytest

from agent_modules.module_utils.dbhost import scram
from agent_modules.module_utils.dbhost.change import STATEMENT
from agent_modules.module_utils.dbhost.changes import changes
from agent_modules.module_utils.dbhost.errors import TenantError
from agent_modules.module_utils.dbhost.observed import Observed
from agent_modules.module_utils.dbhost.tenants import TenantDatabase

VERIFIER = scram.build(b"old", b"0123456789abcdef")
OTHER = scram.build(b"new", b"fedcba9876543210")
PRESENT = TenantDatabase("shop", verifier=VERIFIER)
STOPPED = replace(PRESENT, state="stopped")
ABSENT = TenantDatabase("shop", state="absent")

NOTHING = Observed("shop")
RUNNING = Observed(
    "shop",
    role=True,
    login=True,
    role_limit=40,
    database=True,
    open=True,
    database_limit=40,
    grants=("CONNECT", "CREATE", "TEMPORARY"),
    salt=scram.parse(VERIFIER),
)
SHUT = replace(RUNNING, login=False, open=False)
ROLE_ONLY = replace(RUNNING, database=False, open=False, database_limit=None, grants=())
JUST_MADE = replace(RUNNING, open=False, grants=(), others=("public",))
HALF_DROPPED = replace(RUNNING, open=False, database_limit=-2, grants=())

ROLE = 'CREATE ROLE "shop" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 40'
CREATE_ROLE = f"{ROLE} PASSWORD '…'"
CREATE = 'CREATE DATABASE "shop" TEMPLATE "template0" STRATEGY WAL_LOG ALLOW_CONNECTIONS false CONNECTION LIMIT 40'
REVOKE = 'REVOKE ALL ON DATABASE "shop" FROM PUBLIC'
OPEN = 'ALTER DATABASE "shop" ALLOW_CONNECTIONS true'
SHUT_IT = 'ALTER DATABASE "shop" ALLOW_CONNECTIONS false'
HAND_OVER = 'GRANT "shop" TO CURRENT_USER; ALTER SCHEMA public OWNER TO "shop"; REVOKE'
GRANT = 'GRANT CONNECT, CREATE, TEMPORARY ON DATABASE "shop" TO "shop"'
DROP = 'DROP DATABASE "shop" WITH (FORCE)'
PASSWORD = "ALTER ROLE \"shop\" PASSWORD '…'"
END = 'End the sessions of "shop"'
QUIET = 'ALTER DATABASE "shop" SET log_min_messages = panic'
NEW = [CREATE, QUIET, REVOKE, OPEN, HAND_OVER, GRANT]


@pytest.mark.parametrize(
    ("current", "wanted", "expected"),
    [
        (NOTHING, PRESENT, [CREATE_ROLE, *NEW]),
        (NOTHING, STOPPED, [CREATE_ROLE.replace("LOGIN", "NOLOGIN", 1), *NEW, SHUT_IT, END]),
        (NOTHING, ABSENT, []),
        (RUNNING, PRESENT, []),
        (RUNNING, STOPPED, ['ALTER ROLE "shop" NOLOGIN', SHUT_IT, END]),
        (replace(SHUT, backends=2), STOPPED, [END]),
        (RUNNING, ABSENT, ['ALTER ROLE "shop" NOLOGIN', DROP, 'DROP ROLE "shop"']),
        (SHUT, STOPPED, []),
        (SHUT, PRESENT, ['ALTER ROLE "shop" LOGIN', OPEN]),
        (SHUT, ABSENT, [DROP, 'DROP ROLE "shop"']),
        (ROLE_ONLY, PRESENT, NEW),
        (ROLE_ONLY, ABSENT, ['ALTER ROLE "shop" NOLOGIN', 'DROP ROLE "shop"']),
        (JUST_MADE, PRESENT, [REVOKE, OPEN, HAND_OVER, GRANT]),
        (replace(JUST_MADE, open=True), PRESENT, [REVOKE, HAND_OVER, GRANT]),
        (
            replace(JUST_MADE, others=(), open=True),
            STOPPED,
            ['ALTER ROLE "shop" NOLOGIN', HAND_OVER, GRANT, SHUT_IT, END],
        ),
        (HALF_DROPPED, PRESENT, [DROP, *NEW]),
        (HALF_DROPPED, ABSENT, ['ALTER ROLE "shop" NOLOGIN', DROP, 'DROP ROLE "shop"']),
        (RUNNING, replace(PRESENT, verifier=OTHER), [PASSWORD, END]),
        (replace(RUNNING, salt=None), PRESENT, [PASSWORD, END]),
        (
            RUNNING,
            replace(PRESENT, connection_limit=7),
            ['ALTER ROLE "shop" CONNECTION LIMIT 7', 'ALTER DATABASE "shop" CONNECTION LIMIT 7'],
        ),
        (replace(RUNNING, loose=True), PRESENT, ["ALTER ROLE \"shop\" NOCREATEROLE NOCREATEDB VALID UNTIL 'infinity'"]),
        (replace(RUNNING, others=("public",)), PRESENT, [REVOKE]),
        (replace(RUNNING, quiet=False), PRESENT, [QUIET]),
        (replace(RUNNING, others=('x"y',)), PRESENT, ['REVOKE ALL ON DATABASE "shop" FROM "x""y"']),
        (replace(RUNNING, grants=("CREATE",)), PRESENT, [GRANT]),
        (replace(RUNNING, grants=(), others=("shop",)), PRESENT, [REVOKE.replace("PUBLIC", '"shop"'), GRANT]),
    ],
)
def test_changes(current, wanted, expected):
    assert [step.shown for step in changes(current, wanted)] == expected


@pytest.mark.parametrize("wanted", [PRESENT, STOPPED, ABSENT])
@pytest.mark.parametrize(
    ("current", "code"),
    [
        (replace(RUNNING, foreign_role=True), "foreign_role"),
        (replace(RUNNING, foreign_database=True), "foreign_database"),
        (replace(HALF_DROPPED, foreign_database=True), "foreign_database"),
    ],
)
def test_what_is_not_ours_is_never_touched(current, wanted, code):
    with pytest.raises(TenantError) as caught:
        changes(current, wanted)
    assert caught.value.code == code


@pytest.mark.parametrize("name", ['a"; DROP ROLE postgres; --', "a'b", "a{}b", "a%sb", "{0}", "a\\b"])
@pytest.mark.parametrize("state", ["present", "stopped", "closed", "absent"])
def test_a_hostile_name_stays_one_identifier(name, state):
    """The name rule comes first; were it ever to fail, quoting still holds."""
    quoted = '"' + name.replace('"', '""') + '"'
    for current in (replace(RUNNING, name=name, backends=1), Observed(name)):
        for step in changes(current, TenantDatabase(name, state=state, verifier=OTHER)):
            assert step.kind != STATEMENT or quoted in step.statement.as_string(None)
            assert name not in step.shown.replace(quoted, "").replace(f'"{name}"', "")


def test_no_secret_is_shown():
    steps = changes(NOTHING, PRESENT) + changes(RUNNING, replace(PRESENT, verifier=OTHER))
    for secret in (VERIFIER, OTHER, *VERIFIER.split("$")[2].split(":")):
        assert secret not in repr(steps)
    assert any(VERIFIER in step.statement.as_string(None) for step in steps if step.statement)
