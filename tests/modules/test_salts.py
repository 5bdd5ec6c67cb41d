"""The public part of verifiers: the installer's function says what a login would, to the provisioner alone."""

import pytest
from psycopg import sql

from agent_modules.module_utils.dbhost import installation, salts_function, scram
from tests.modules.test_members import Person, converge
from tests.support.dataplane import PROVISIONER, verifier

MD5 = "md5" + "0" * 32


def install(dataplane):
    """What the installer does about the cluster; the statements."""
    with dataplane.superuser() as connection:
        made = installation.changes(installation.observe(connection, PROVISIONER), PROVISIONER, 0)
        for change in made:
            connection.execute(change)
        return [change.as_string(connection) for change in made]


def execute(dataplane, statement, *identifiers):
    with dataplane.superuser() as connection:
        connection.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in identifiers)))


def by_function(dataplane, *roles):
    with dataplane.local(PROVISIONER) as connection:
        return salts_function.read(connection, roles)


@pytest.fixture
def without_function(dataplane):
    """A host that an older release has set up."""
    execute(dataplane, "DROP FUNCTION dbhost.salts(text[])")
    yield
    install(dataplane)


@pytest.fixture
def logins(monkeypatch):
    """Who began to log in; they do so all the same."""
    real, seen = scram.probe, []

    def probe(endpoint, user, database):
        seen.append(user)
        return real(endpoint, user, database)

    monkeypatch.setattr(scram, "probe", probe)
    return seen


@pytest.mark.parametrize(
    ("statement", "same"),
    [
        ("ALTER ROLE {} CONNECTION LIMIT 40", True),
        ("ALTER ROLE {} NOLOGIN", True),
        ("ALTER ROLE {} VALID UNTIL 'infinity'", True),
        ("ALTER ROLE {} VALID UNTIL '2999-01-01'", True),
        ("ALTER ROLE {} VALID UNTIL '2001-01-01'", False),
        ("ALTER ROLE {} PASSWORD NULL", False),
        (f"ALTER ROLE {{}} PASSWORD '{MD5}'", False),
        (f"ALTER ROLE {{}} PASSWORD '{verifier('another')}'", False),
    ],
)
def test_it_says_what_a_login_would(dataplane, shop, statement, same):
    execute(dataplane, statement, shop.name)
    wanted = scram.parse(shop.verifier)
    login = scram.probe(scram.Endpoint("127.0.0.1", dataplane.postgres_port), shop.name, shop.name)
    assert (by_function(dataplane, shop.name).get(shop.name) == wanted, login == wanted) == (same, same)
    [result] = dataplane.converge(shop.item())
    assert result["error"] is None
    assert any("PASSWORD" in change for change in result["changes"]) is not same
    with dataplane.connect(shop.name, shop.password) as client:
        client.execute("SELECT 1")


def test_it_knows_only_roles_that_the_provisioner_administers(dataplane, shop):
    execute(dataplane, f"CREATE ROLE stranger LOGIN PASSWORD '{verifier('x')}'")
    execute(dataplane, f"ALTER ROLE {{}} PASSWORD '{verifier('x')}'", PROVISIONER)
    try:
        roles = (shop.name, "stranger", "postgres", PROVISIONER, installation.READER, "nobody-at-all")
        assert by_function(dataplane, *roles) == {shop.name: scram.parse(shop.verifier)}
    finally:
        execute(dataplane, "DROP ROLE stranger")
        execute(dataplane, "ALTER ROLE {} PASSWORD NULL", PROVISIONER)


def test_it_knows_no_role_that_was_made_strong(dataplane, shop):
    execute(dataplane, "ALTER ROLE {} BYPASSRLS", shop.name)
    try:
        assert by_function(dataplane, shop.name) == {}
    finally:
        execute(dataplane, "ALTER ROLE {} NOBYPASSRLS", shop.name)


def test_it_hands_out_no_key_and_nobody_else_may_ask(dataplane, shop):
    with dataplane.local(PROVISIONER) as connection:
        rows = connection.execute("SELECT * FROM dbhost.salts(%s)", [[shop.name]])
        assert [column.name for column in rows.description] == ["role", "iterations", "salt"]
        [row] = rows.fetchall()
    assert not [key for key in shop.verifier.split("$")[2].split(":") if key in str(row)]
    with dataplane.superuser() as connection:
        query = """SELECT rolname FROM pg_roles WHERE NOT rolsuper
                   AND has_function_privilege(oid, 'dbhost.salts(text[])', 'EXECUTE')"""
        assert connection.execute(query).fetchall() == [(PROVISIONER,)]
        query = "SELECT prosecdef, proconfig FROM pg_proc WHERE oid = 'dbhost.salts(text[])'::regprocedure"
        assert connection.execute(query).fetchall() == [(True, ['search_path=""'])]


@pytest.mark.parametrize(
    "spoilt",
    [
        "GRANT EXECUTE ON FUNCTION dbhost.salts(text[]) TO PUBLIC",
        "REVOKE EXECUTE ON FUNCTION dbhost.salts(text[]) FROM dbhost_provisioner",
        "ALTER FUNCTION dbhost.salts(text[]) RESET search_path",
        "ALTER FUNCTION dbhost.salts(text[]) SECURITY INVOKER",
        "DROP FUNCTION dbhost.salts(text[])",
    ],
)
def test_the_installer_makes_it_as_it_should_be_and_then_leaves_it(dataplane, shop, spoilt):
    assert install(dataplane) == []
    execute(dataplane, spoilt)
    [made] = install(dataplane)
    assert "CREATE FUNCTION dbhost.salts" in made
    assert install(dataplane) == []
    assert by_function(dataplane, shop.name) == {shop.name: scram.parse(shop.verifier)}


def test_a_list_costs_one_login_however_long_it_is(dataplane, tenants, logins):
    shops = [tenants() for _ in range(5)]
    dataplane.converge(*(shop.item() for shop in shops))
    logins.clear()
    results = dataplane.databases(*(shop.item() for shop in shops))
    assert [result["changed"] for result in results] == [False] * 5
    assert len(logins) == 1


@pytest.mark.usefixtures("without_function")
def test_a_host_without_it_is_asked_by_logins(dataplane, shop, logins):
    person = Person(shop, "dev00000", "developer")
    converge(dataplane, shop, person)
    logins.clear()
    [result] = dataplane.databases(shop.item(members=[person.item]))
    assert (result["error"], result["changed"]) == (None, False)
    assert sorted(logins) == sorted([shop.name, person.role])
    execute(dataplane, f"ALTER ROLE {{}} PASSWORD '{verifier('another')}'", person.role)
    [result] = dataplane.databases(shop.item(members=[person.item]))
    assert [change for change in result["changes"] if "PASSWORD" in change]
