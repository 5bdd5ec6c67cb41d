"""People's own roles in a tenant database: who writes, who reads, and how they end."""

import contextlib
import threading

import psycopg
import pytest
from psycopg import errors, sql

from tests.support.dataplane import PROVISIONER, verifier


class Person:
    """A member with a role and a password of their own."""

    def __init__(self, tenant, short, level):
        self.role, self.password = f"{tenant.name}.{short}", f"pw-{short}"
        self.item = {"role": self.role, "level": level, "verifier": verifier(self.password)}

    def change_password(self, password):
        self.password, self.item["verifier"] = password, verifier(password)


def converge(dataplane, tenant, *people, **changes):
    """Converge *tenant* with *people* as its members; what was changed. A second check has nothing to say."""
    members = [person.item for person in people]
    item = tenant.item(members=members, **changes)
    [result] = dataplane.converge(item)
    assert result["error"] is None, result
    [again] = dataplane.converge({**item, "repair_ownership": False}, check=True)
    assert again["changes"] == []
    return result["changes"]


@pytest.fixture
def team(dataplane, shop):
    """An admin, a developer and a viewer of a shop that has a table and some rows."""
    with dataplane.connect(shop.name, shop.password) as owner:
        owner.execute("CREATE TABLE goods AS SELECT generate_series(1, 3) AS id")
        owner.execute("CREATE SCHEMA app; CREATE VIEW app.v AS TABLE goods")
    people = [Person(shop, f"{level[:3]}00000", level) for level in ("admin", "developer", "viewer")]
    converge(dataplane, shop, *people)
    return people


def connect(dataplane, tenant, person, password=None):
    return dataplane.connect(person.role, password or person.password, tenant.name)


def ask(connection, statement, *names):
    return connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names))).fetchone()


def refused(dataplane, tenant, person):
    with pytest.raises(psycopg.OperationalError):
        connect(dataplane, tenant, person)
    with pytest.raises(psycopg.OperationalError):
        dataplane.direct(person.role, person.password, tenant.name)


def test_writers_work_as_the_tenant_role(dataplane, shop, team):
    for person in team[:2]:
        with connect(dataplane, shop, person) as client:
            assert ask(client, "SELECT session_user::text, current_user::text") == (person.role, shop.name)
            client.execute("INSERT INTO goods VALUES (4)")
            client.execute(sql.SQL("CREATE TABLE {} (id int)").format(sql.Identifier("made_" + person.role)))
    with dataplane.connect(shop.name, shop.password) as owner:
        owners = owner.execute("SELECT DISTINCT tableowner::text FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert owners == [(shop.name,)]
    with connect(dataplane, shop, team[0]) as client:
        client.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier("made_" + team[1].role)))


def test_a_viewer_reads_what_there_is_and_what_comes(dataplane, shop, team):
    viewer = team[2]
    with connect(dataplane, shop, team[1]) as developer:
        developer.execute("CREATE SCHEMA later; CREATE TABLE later.things (id serial)")
        developer.execute("INSERT INTO later.things DEFAULT VALUES")
    with connect(dataplane, shop, viewer) as client:
        for relation in (("goods",), ("app", "v"), ("later", "things")):
            rows = client.execute(sql.SQL("SELECT count(*) > 0 FROM {}").format(sql.Identifier(*relation)))
            assert rows.fetchone() == (True,)
        client.execute("SET default_transaction_read_only = off")
        for statement in (
            "INSERT INTO goods VALUES (9)",
            "UPDATE goods SET id = 0",
            "DELETE FROM goods",
            "TRUNCATE goods",
            "DROP TABLE goods",
            "CREATE TABLE mine (id int)",
            "CREATE TEMP TABLE mine (id int)",
            "CREATE SCHEMA mine",
            "CREATE EXTENSION citext",
            "SELECT nextval('later.things_id_seq')",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                client.execute(statement)
        with pytest.raises(errors.InsufficientPrivilege):
            ask(client, "SET ROLE {}", shop.name)


def test_what_the_owner_takes_back_from_viewers_stays_so(dataplane, shop, team):
    with dataplane.connect(shop.name, shop.password) as owner:
        owner.execute(sql.SQL("REVOKE SELECT ON goods FROM {}").format(sql.Identifier(shop.name + ".viewers")))
    converge(dataplane, shop, *team)
    with connect(dataplane, shop, team[2]) as client, pytest.raises(errors.InsufficientPrivilege):
        client.execute("TABLE goods")


def test_who_goes_is_out_at_once_and_leaves_everything(dataplane, shop, team):
    developer = team[1]
    client = connect(dataplane, shop, developer)
    client.execute("SET ROLE NONE")
    client.execute("CREATE TABLE own_things (id int)")
    client.execute(
        sql.SQL("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {}").format(sql.Identifier(team[0].role))
    )
    changes = converge(dataplane, shop, team[0], team[2])
    assert f'DROP ROLE "{developer.role}"' in changes
    with pytest.raises(psycopg.OperationalError):
        client.execute("SELECT 1")
    refused(dataplane, shop, developer)
    with dataplane.connect(shop.name, shop.password) as owner:
        assert ask(owner, "SELECT tableowner::text FROM pg_tables WHERE tablename = 'own_things'") == (shop.name,)
    with dataplane.superuser() as connection:
        query = "SELECT count(*) FROM pg_roles WHERE rolname = %s"
        assert connection.execute(query, [developer.role]).fetchone() == (0,)
    lines = (dataplane.config_dir / "userlist.txt").read_text().splitlines()
    [tombstone] = [line for line in lines if f'"{developer.role}"' in line]
    assert developer.item["verifier"] not in tombstone
    assert f'"{developer.role}"' not in (dataplane.config_dir / "hba.conf").read_text()


@contextlib.contextmanager
def logins_in_a_loop(urls):
    """Somebody who logs in at each of *urls* in turn, without a pause; the list is of what failed."""
    failed, is_over, threads = [], threading.Event(), []

    def log_in(url, came_in):
        while not is_over.is_set():
            try:
                psycopg.connect(url, connect_timeout=120).close()
            except psycopg.OperationalError as error:
                failed.append(str(error))
            came_in.set()

    for url in urls:
        came_in = threading.Event()
        threads.append(threading.Thread(target=log_in, args=(url, came_in)))
        threads[-1].start()
        came_in.wait()
    try:
        yield failed
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def doors(dataplane, tenant, role, password):
    """The URLs of both."""
    ports = (dataplane.pgbouncer_port, dataplane.direct_port)
    return [dataplane.url(role, password, tenant.name, port) for port in ports]


def test_who_goes_takes_nobody_along(dataplane, shop, team):
    """The owner's transactions and logins, and another member's, go on at both doors while a viewer is removed."""
    admin, viewer = team[0], team[2]
    staying = [(shop.name, shop.password), (admin.role, admin.password)]
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(psycopg.connect(url)) for who in staying for url in doors(dataplane, shop, *who)]
        inside = [client.execute("SELECT pg_backend_pid()").fetchone() for client in clients]
        going = [psycopg.connect(url, autocommit=True) for url in doors(dataplane, shop, viewer.role, viewer.password)]
        working = [psycopg.connect(url) for url in doors(dataplane, shop, viewer.role, viewer.password)]
        for client in [*going, *working]:
            client.execute("TABLE goods")
        urls = [url for who in staying for url in doors(dataplane, shop, *who)]
        failed = stack.enter_context(logins_in_a_loop(urls))
        changes = converge(dataplane, shop, *team[:2])
        assert f'Cut the clients of "{shop.name}"' not in changes
        assert [client.execute("SELECT pg_backend_pid()").fetchone() for client in clients] == inside
        for client in [*going, *working]:
            with pytest.raises(psycopg.OperationalError):
                client.execute("TABLE goods")
        for url in doors(dataplane, shop, viewer.role, viewer.password):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(url)
        for client in clients:
            client.commit()
    assert failed == []


def test_who_comes_back_does_so_without_the_sessions_of_before(dataplane, shop, team):
    """A client that did nothing while its role was away is not let on by the new password."""
    viewer = team[2]
    idle = connect(dataplane, shop, viewer)
    converge(dataplane, shop, *team[:2])
    viewer.change_password("another")
    converge(dataplane, shop, *team)
    connect(dataplane, shop, viewer).close()
    with pytest.raises(psycopg.OperationalError):
        idle.execute("TABLE goods")


def test_clients_of_who_goes_that_come_back_in_a_loop_do_pgbouncer_no_harm(dataplane, shop, team):
    for number in range(6):
        viewer = Person(shop, f"loop000{number}", "viewer")
        converge(dataplane, shop, *team, viewer)
        with logins_in_a_loop(2 * doors(dataplane, shop, viewer.role, viewer.password)):
            converge(dataplane, shop, *team)
        assert dataplane.processes["pgbouncer"].poll() is None
        dataplane.connect(shop.name, shop.password).close()


def test_a_new_password_ends_the_old_one_in_open_sessions_too(dataplane, shop, team):
    admin = team[0]
    client = connect(dataplane, shop, admin)
    old = admin.password
    admin.change_password("another")
    converge(dataplane, shop, *team)
    with pytest.raises(psycopg.OperationalError):
        client.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError):
        connect(dataplane, shop, admin, old)
    connect(dataplane, shop, admin).close()


def test_lowered_to_viewer(dataplane, shop, team):
    team[1].item["level"] = "viewer"
    converge(dataplane, shop, *team, disconnect=True)
    with connect(dataplane, shop, team[1]) as client:
        assert ask(client, "SELECT current_user::text") == (team[1].role,)
        with pytest.raises((errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
            client.execute("INSERT INTO goods VALUES (4)")


def test_stopped_started_and_gone(dataplane, shop, team):
    converge(dataplane, shop, *team, state="stopped")
    for person in team:
        refused(dataplane, shop, person)
    converge(dataplane, shop, *team)
    for person in team:
        connect(dataplane, shop, person).close()
    [gone] = dataplane.converge(shop.item(state="absent"))
    assert gone["error"] is None
    with dataplane.superuser() as connection:
        query = "SELECT count(*) FROM pg_roles WHERE starts_with(rolname::text, %s)"
        assert connection.execute(query, [shop.name]).fetchone() == (0,)
    for person in team:
        refused(dataplane, shop, person)


def test_the_allowlist_is_theirs_too(dataplane, shop, team):
    converge(dataplane, shop, *team, networks=["203.0.113.0/24"])
    for person in team:
        with pytest.raises(psycopg.OperationalError):
            connect(dataplane, shop, person)


def test_the_provisioner_is_a_member_of_nobody(dataplane, shop, team):
    query = """SELECT count(*) FROM pg_auth_members
                WHERE member = %s::regrole AND roleid >= 16384 AND (inherit_option OR set_option)"""
    with dataplane.superuser() as connection:
        assert connection.execute(query, [PROVISIONER]).fetchone() == (0,)


def test_ownership_is_repaired_from_members_too(dataplane, shop, team):
    with connect(dataplane, shop, team[1]) as client:
        client.execute("SET ROLE NONE")
        client.execute("CREATE TABLE own_things (id int)")
    changes = converge(dataplane, shop, *team, repair_ownership=True)
    assert f'ALTER TABLE "public"."own_things" OWNER TO "{shop.name}"' in changes


def test_drift_of_a_member_is_found(dataplane, shop, team):
    with dataplane.superuser() as connection:
        for statement in ("ALTER ROLE {} CONNECTION LIMIT 3", "ALTER ROLE {} RESET ALL"):
            connection.execute(sql.SQL(statement).format(sql.Identifier(team[0].role)))
    hba = dataplane.config_dir / "hba.conf"
    hba.write_text("\n".join(line for line in hba.read_text().splitlines() if team[2].role not in line) + "\n")
    [found] = dataplane.converge(shop.item(members=[person.item for person in team]), check=True)
    assert f'ALTER ROLE "{team[0].role}" CONNECTION LIMIT 40' in found["changes"]
    assert f'Restore the lines of "{shop.name}" in hba.conf' in found["changes"]
    converge(dataplane, shop, *team)
    connect(dataplane, shop, team[2]).close()


@pytest.mark.parametrize("statement", ["ALTER ROLE {0} PASSWORD 'x'", "SET ROLE {0}", "GRANT {0} TO CURRENT_USER"])
def test_members_and_tenants_of_another_database_stay_out(dataplane, shop, team, tenants, statement):
    other = tenants()
    stranger = Person(other, "str00000", "admin")
    converge(dataplane, other, stranger)
    for way in (dataplane.connect, dataplane.direct):
        for role, password, database in (
            (stranger.role, stranger.password, shop.name),
            (team[0].role, team[0].password, other.name),
            (team[2].role, team[2].password, other.name),
            (other.name, other.password, shop.name),
            (team[0].role, team[0].password, "postgres"),
        ):
            with pytest.raises(psycopg.OperationalError):
                way(role, password, database)
    with connect(dataplane, other, stranger) as client:
        for victim in (shop.name, team[0].role, shop.name + ".viewers"):
            with pytest.raises(errors.InsufficientPrivilege):
                client.execute(sql.SQL(statement).format(sql.Identifier(victim)))


@pytest.mark.parametrize(
    "role", ["other.abcdefgh", "{0}", "{0}.short", "{0}.ABCDEFGH", '{0}.abcdef"h', "{0}.viewers", "{0}.abcdefgh\n"]
)
def test_a_role_that_is_no_members_is_refused(dataplane, shop, role):
    member = {"role": role.format(shop.name), "level": "admin", "verifier": verifier("x")}
    [result] = dataplane.converge(shop.item(members=[member]))
    assert result["error"]["code"] == "invalid_member"
    dataplane.connect(shop.name, shop.password).close()
