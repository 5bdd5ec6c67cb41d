"""A role that another tenant only names holds nobody's database: it converges, its members go, it is deleted."""

import contextlib
import threading

import psycopg
import pytest
from psycopg import sql

from agent_modules.module_utils.dbhost import retired, strangers
from tests.modules.test_members import Person, connect, converge
from tests.support.dataplane import PROVISIONER

# Every way in which one tenant can name a role of another: {0} is the role.
MENTIONS = {
    "table": "GRANT ALL ON goods TO {0} WITH GRANT OPTION",
    "column": "GRANT SELECT (id) ON goods TO {0}",
    "sequence": "GRANT USAGE ON SEQUENCE numbers TO {0}",
    "schema": "GRANT ALL ON SCHEMA public TO {0}",
    "function": "GRANT EXECUTE ON FUNCTION f() TO {0}",
    "type": "GRANT USAGE ON TYPE mood TO {0}",
    "large object": "GRANT ALL ON LARGE OBJECT 4711 TO {0}",
    "default privileges": "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {0}",
    "default privileges in a schema": "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO {0}",
    "policy": "CREATE POLICY theirs ON goods TO {0} USING (true)",
    "policy of several": "CREATE POLICY ours ON goods TO {0}, CURRENT_USER USING (true)",
    "part of an extension": "GRANT SELECT ON parts TO {0}; ALTER EXTENSION citext ADD TABLE parts",
}
# What PostgreSQL refuses, so that nobody has to clear it away.
REFUSED = (
    "GRANT {1} TO {0}",
    "ALTER TABLE goods OWNER TO {0}",
    "ALTER ROLE {0} SET work_mem = '1MB'",
    "ALTER ROLE {0} IN DATABASE {1} SET work_mem = '1MB'",
    "ALTER DEFAULT PRIVILEGES FOR ROLE {0} GRANT ALL ON TABLES TO CURRENT_USER",
    "COMMENT ON ROLE {0} IS 'mine'",
    "SECURITY LABEL ON ROLE {0} IS 'mine'",
    "REASSIGN OWNED BY {0} TO CURRENT_USER",
    "GRANT ALL ON DATABASE {1} TO {0}",
    "CREATE USER MAPPING FOR {0} SERVER nowhere",
)
SETTING = """
CREATE TABLE goods (id int); CREATE SEQUENCE numbers; CREATE TABLE parts (id int); CREATE EXTENSION citext;
CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1; CREATE TYPE mood AS ENUM ('good'); SELECT lo_create(4711)
"""


@pytest.fixture
def pair(dataplane, tenants):
    """Alice, who names others, and Bob with a developer and a viewer."""
    alice, bob = tenants(), tenants()
    dataplane.converge(alice.item())
    people = [Person(bob, f"{level[:3]}00000", level) for level in ("developer", "viewer")]
    converge(dataplane, bob, *people)
    with dataplane.connect(alice.name, alice.password) as client:
        for statement in SETTING.split(";"):
            client.execute(statement)
    return alice, bob, people


def mention(client, role, statement, *names):
    client.execute(sql.SQL(statement).format(*map(sql.Identifier, (role, *names))))


def roles(dataplane, like):
    with dataplane.superuser() as connection:
        query = "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, %s) ORDER BY 1"
        return [row[0] for row in connection.execute(query, [like]).fetchall()]


def gone(dataplane):
    """What is put aside and not swept yet."""
    return roles(dataplane, retired.PREFIX)


def delete(dataplane, tenant):
    """Delete it; the name is free, and a new one of the same name comes up and has nothing of the old one."""
    [result] = dataplane.converge(tenant.item(state="absent"))
    assert result["error"] is None
    assert roles(dataplane, tenant.name) == []
    [again] = dataplane.converge(tenant.item())
    assert (again["error"], again["changed"]) == (None, True)


@pytest.mark.parametrize("statement", MENTIONS.values(), ids=MENTIONS.keys())
def test_each_mention_is_cleared_away(dataplane, pair, statement):
    alice, bob, (developer, viewer) = pair
    with dataplane.connect(alice.name, alice.password) as client:
        for role in (bob.name, developer.role, bob.name + ".viewers"):
            with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.ObjectNotInPrerequisiteState):
                mention(client, role, statement)
    converge(dataplane, bob, viewer)
    assert developer.role not in roles(dataplane, bob.name)
    delete(dataplane, bob)
    assert gone(dataplane) == []
    with dataplane.connect(alice.name, alice.password) as client:
        assert client.execute("SELECT count(*) FROM goods").fetchone() == (0,)


def test_all_of_them_at_once_and_from_members_who_may_pass_on(dataplane, pair):
    alice, bob, _ = pair
    reader = Person(alice, "vie00000", "viewer")
    converge(dataplane, alice, reader)
    with dataplane.connect(alice.name, alice.password) as client:
        for statement in MENTIONS.values():
            mention(client, bob.name, statement)
        mention(client, reader.role, "GRANT SELECT ON goods TO {0} WITH GRANT OPTION")
    with connect(dataplane, alice, reader) as client:
        mention(client, bob.name, "BEGIN READ WRITE; GRANT SELECT ON goods TO {0} WITH GRANT OPTION; COMMIT")
    delete(dataplane, bob)
    assert gone(dataplane) == []


@pytest.mark.parametrize("statement", REFUSED)
def test_what_postgresql_refuses(dataplane, pair, statement):
    alice, bob, _ = pair
    with dataplane.connect(alice.name, alice.password) as client:
        before = client.execute("SELECT count(*) FROM pg_shdepend").fetchone()
        with contextlib.suppress(psycopg.Error):
            mention(client, bob.name, statement, alice.name)
        assert client.execute("SELECT count(*) FROM pg_shdepend").fetchone() == before
    delete(dataplane, bob)
    assert gone(dataplane) == []


def test_a_database_that_lets_nobody_in_holds_nothing(dataplane, pair):
    alice, bob, (developer, viewer) = pair
    with dataplane.connect(alice.name, alice.password) as client:
        for role in (bob.name, developer.role):
            mention(client, role, MENTIONS["table"])
    dataplane.converge(alice.item(state="stopped"))
    converge(dataplane, bob, viewer)
    delete(dataplane, bob)
    aside = gone(dataplane)
    assert len(aside) == 2
    with dataplane.superuser() as connection:
        found = [one for one in strangers.in_cluster(connection, [alice.name, bob.name]) if one.name in aside]
        assert all(alice.name in one.message for one in found)
        can = "SELECT bool_or(rolcanlogin) FROM pg_roles WHERE rolname = ANY (%s)"
        assert connection.execute(can, [aside]).fetchone() == (False,)
    [check] = dataplane.converge(bob.item(), check=True)
    assert check["changes"] == []
    dataplane.converge(alice.item())
    assert gone(dataplane) == []


def test_a_grant_held_open_in_a_transaction_holds_nothing(dataplane, pair):
    alice, bob, (developer, viewer) = pair
    with dataplane.connect(alice.name, alice.password) as client:
        client.execute("BEGIN")
        for role in (bob.name, developer.role, viewer.role):
            mention(client, role, MENTIONS["table"])
        converge(dataplane, bob, viewer)
        delete(dataplane, bob)
        client.execute("COMMIT")  # her session was not touched
    dataplane.converge(bob.item())
    assert gone(dataplane) == []


def test_who_grants_without_end_holds_nothing(dataplane, pair):
    """Also to the roles that are put aside, which she can see."""
    alice, bob, (_, viewer) = pair
    stop = threading.Event()

    def grant():
        with dataplane.connect(alice.name, alice.password) as client:
            while not stop.is_set():
                names = client.execute(
                    "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, %s) OR starts_with(rolname, %s)",
                    [bob.name, retired.PREFIX],
                ).fetchall()
                for (name,) in names:
                    with contextlib.suppress(psycopg.Error):
                        mention(client, name, MENTIONS["table"])

    threads = [threading.Thread(target=grant) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            converge(dataplane, bob, viewer)
            delete(dataplane, bob)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    for _ in range(2):
        dataplane.converge(bob.item())
    assert gone(dataplane) == []


@pytest.mark.parametrize("held", [False, True])
def test_another_tenants_open_setting_does_not_keep_my_database(dataplane, pair, held):
    """`ALTER ROLE … IN DATABASE` takes a lock on the database, for as long as the transaction lasts."""
    alice, bob, _ = pair
    aside = "dbhost-held-" + "a1" * 8
    client = dataplane.direct(alice.name, alice.password)
    client.execute(
        sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET work_mem = '1MB'").format(sql.Identifier(bob.name))
    )
    [result] = dataplane.converge(bob.item(state="absent", **({"held_as": aside} if held else {})))
    assert result["error"] is None
    assert roles(dataplane, bob.name) == []
    with pytest.raises(psycopg.Error):
        client.execute("SELECT 1")
    client.close()
    assert dataplane.converge({"name": aside, "state": "absent"})[0]["error"] is None


def test_a_full_database_lets_its_members_go(dataplane, pair):
    """All of its connections are taken, and what the developer owned is the owner's."""
    _, bob, (developer, viewer) = pair
    with connect(dataplane, bob, developer) as client:
        client.execute("SET ROLE NONE")
        client.execute("CREATE TABLE own_things (id int)")
    converge(dataplane, bob, developer, viewer, connection_limit=3)
    sessions = []
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            sessions.append(dataplane.direct(bob.name, bob.password))
    converge(dataplane, bob, viewer, connection_limit=3)
    assert gone(dataplane) == []
    query = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'own_things'"
    assert sessions[0].execute(query).fetchone() == (bob.name,)
    for session in sessions:
        session.close()


@pytest.mark.parametrize("state", ["stopped", "closed"])
def test_a_member_of_a_database_that_is_closed_goes_at_once(dataplane, pair, state):
    _, bob, (developer, viewer) = pair
    with connect(dataplane, bob, developer) as client:
        client.execute("SET ROLE NONE")
        client.execute("CREATE TABLE own_things (id int)")
    converge(dataplane, bob, developer, viewer, state=state)
    converge(dataplane, bob, viewer, state=state)
    assert developer.role not in roles(dataplane, bob.name)
    assert gone(dataplane) == []
    with dataplane.superuser() as connection:
        query = "SELECT datallowconn FROM pg_database WHERE datname = %s"
        assert connection.execute(query, [bob.name]).fetchone() == (state == "closed",)
    converge(dataplane, bob, viewer)
    with dataplane.connect(bob.name, bob.password) as owner:
        query = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'own_things'"
        assert owner.execute(query).fetchone() == (bob.name,)


def test_what_a_role_put_aside_owns_is_never_dropped(dataplane, pair):
    """A superuser gave Bob's member a table of Alice's: it becomes hers, as all in her database is."""
    alice, bob, (developer, viewer) = pair
    with dataplane.superuser(alice.name) as connection:
        mention(connection, developer.role, "ALTER TABLE parts OWNER TO {0}")
    [result] = dataplane.converge(bob.item(members=[viewer.item]))
    assert result["error"]["code"] == "role_in_use"
    assert alice.name in result["error"]["message"]
    with dataplane.superuser(alice.name) as connection:
        mention(connection, alice.name, "ALTER TABLE parts OWNER TO {0}")
    converge(dataplane, bob, viewer)


def test_the_provisioner_keeps_no_membership(dataplane, pair):
    alice, bob, _ = pair
    with dataplane.connect(alice.name, alice.password) as client:
        for statement in MENTIONS.values():
            mention(client, bob.name, statement)
    delete(dataplane, bob)
    query = """SELECT count(*) FROM pg_auth_members
                WHERE member = %s::regrole AND roleid >= 16384 AND (inherit_option OR set_option)"""
    with dataplane.superuser() as connection:
        assert connection.execute(query, [PROVISIONER]).fetchone() == (0,)
