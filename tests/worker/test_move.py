"""Moving a database between two real hosts (PostgreSQL and PgBouncer each), killed before and after each play."""

import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, sessionmaker

from agent_modules.module_utils.dbhost import activity, dump_options
from tests.support import dumps
from tests.support.dataplane import DataPlane, running, verifier
from tests.support.rows import make_database, make_user
from tests.worker.conftest import services_of
from webapp.config import Settings
from webapp.models import Copy, Database, Host, Operation
from webapp.models.operations import FENCES
from webapp.services import copies as left_copies
from webapp.services import moves
from webapp.services.actors import SYSTEM
from webapp.services.errors import Conflict, DatabaseNotActive, HostNotFound, HostUnavailable, OperationInProgress
from webapp.worker import settle
from webapp.worker.claim import load
from webapp.worker.hosts import Server, Shutdown
from webapp.worker.long.job import Done, LongJob, Refused, Unreachable
from webapp.worker.long.kinds import WORK
from webapp.worker.report import Item
from webapp.worker.runner import Outcome

PLAYS = 9  # make read-only, dump, close there, fetch, restore, close, look, open there, drop
CLOSED_AT, OPEN_AT = 5, 7  # clients are shut out between the first of these plays and the other
CLOSED_PLAYS = 7  # of one that is stopped: close, dump, close there, fetch, restore, "open" there, drop
AGAIN = 4  # plays more where somebody wrote: dump, close there, fetch, restore
PASSWORD = "secret"


class Killed(BaseException):
    """Stands for the worker's death: nothing catches it."""


@dataclass
class Hosts:
    """The plays of one worker, carried out on the two hosts by the code that the modules run."""

    planes: dict[str, DataPlane]
    die_at: int | None = None
    after: bool = False
    fail: str | None = None
    away: str | None = None
    meanwhile: Callable[[int], object] = lambda _play: None
    played: list[str] = field(default_factory=list)

    def play(self, playbook: str, host: str, variables: dict[str, Any], **_options: Any) -> Outcome:
        dies = len(self.played) == self.die_at
        self.meanwhile(len(self.played))
        self.played.append(playbook)
        if dies and not self.after:
            raise Killed
        if host == self.away:
            raise Unreachable
        outcome = getattr(self, playbook.removesuffix(".yml"))(self.planes[host], **variables)
        if dies:
            raise Killed
        return outcome

    def databases(self, plane: DataPlane, tenant_databases: list[dict[str, Any]]) -> Outcome:
        found = {item["name"]: Item.model_validate(item) for item in plane.converge(*tenant_databases)}
        return Outcome(results=found, ok=not any(item.error for item in found.values()))

    def backup(self, plane: DataPlane, tenant_backup: dict[str, Any]) -> Outcome:
        told = dump_options.guarded(lambda: dumps.back_up(plane, dumps.dumping.parse(tenant_backup)))
        return Outcome(reports={"Report the backup": {"backup": told}}, ok=not told["error"])

    def activity(self, plane: DataPlane, tenant_activity: dict[str, Any]) -> Outcome:
        told = dump_options.guarded(lambda: activity.read(dumps.dump_user(plane), tenant_activity["name"]))
        return Outcome(reports={"Report the activity": {"activity": told}}, ok=not told["error"])

    def restore(self, plane: DataPlane, tenant_restore: dict[str, Any]) -> Outcome:
        if self.fail == "restore":
            tenant_restore = {**tenant_restore, "expect": {**tenant_restore["expect"], "rows": 1}}
        told = dumps.restore(plane, **tenant_restore)
        return Outcome(reports={"Report the restore": {"restore": told}}, ok=not told["error"])

    def backup_files(self, plane: DataPlane, tenant_backup_files: dict[str, Any]) -> Outcome:
        wanted = tenant_backup_files["fetch"]
        shutil.copy(plane.state_dir / "backups" / wanted["folder"] / wanted["filename"], wanted["to"])
        return Outcome(reports={"Report the files": {"files": {"error": None}}}, ok=True)


class Job(LongJob):
    """A try whose plays do not go through Ansible."""

    hosts: Hosts

    def play(self, playbook: str, host: str, variables: Any, **options: Any) -> Outcome:
        return self.hosts.play(playbook, host, variables, **options)

    def expect(self, *_playbooks: str) -> None:
        """Nobody watches the steps."""


@pytest.fixture(scope="module")
def planes() -> Iterator[dict[str, DataPlane]]:
    with running() as first, running() as second:
        yield {"db1": first, "db2": second}


@pytest.fixture(autouse=True)
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with services_of(tmp_path, monkeypatch):
        yield


@pytest.fixture
def shop(session: Session, planes: dict[str, DataPlane]) -> Iterator[Database]:
    """An active database on db1 with ten rows."""
    for name, plane in planes.items():
        session.add(Host(name=name, public_host=f"{name}.example.com", pgbouncer_port=plane.pgbouncer_port))
    session.flush()
    host = session.scalars(select(Host).where(Host.name == "db1")).one()
    values = {"name": f"shop-{uuid.uuid4().hex[:8]}", "status": "active", "verifier": verifier(PASSWORD)}
    database = make_database(session, host, make_user(session), **values)
    database.applied_generation = database.generation
    session.commit()
    item = {"name": database.name, "generation": database.generation, "verifier": database.verifier}
    assert planes["db1"].converge(item)[0]["error"] is None
    with planes["db1"].connect(database.name, PASSWORD) as connection:
        connection.execute("CREATE TABLE goods AS SELECT generate_series(1, 10) AS id")
    yield database
    for plane in planes.values():
        plane.converge({"name": database.name, "state": "absent"})


def attempt(sessions: sessionmaker[Session], operation_id: uuid.UUID, hosts: Hosts) -> Done:
    """One try of the operation, under a new fence, and what the carrier writes when it went well."""
    with sessions() as session:
        fence = session.scalars(select(FENCES.next_value())).one()
        running = {"state": "running", "fence": fence, "attempt": Operation.attempt + 1}
        session.execute(update(Operation).where(Operation.id == operation_id).values(**running))
        session.commit()
        [operation] = load(session, [operation_id])
        server = Server(Settings(), sessions, None, Shutdown(), "test")  # type: ignore[arg-type]
        job = Job(operation, fence, server, lambda: None, None)  # type: ignore[arg-type]
        job.hosts = hosts
    done = WORK[operation.kind](job)
    with sessions() as session:
        operation = session.get_one(Operation, operation_id)
        assert settle.succeed_long(session, operation, fence, done.changes, done.record)
        session.commit()
    return done


def queued(session: Session, shop: Database) -> uuid.UUID:
    operation = moves.move_database(session, SYSTEM, shop, "db2")
    session.commit()
    return operation.id


def write(plane: DataPlane, name: str, row: int, begin: str = "BEGIN READ WRITE") -> None:
    """Add a row, as somebody who insists on it where transactions begin read-only."""
    with plane.connect(name, PASSWORD) as connection:
        connection.execute(begin)
        connection.execute("INSERT INTO goods VALUES (%s)", [row])
        connection.execute("COMMIT")


def rows(plane: DataPlane, name: str) -> int | None:
    """How many rows a client finds there; None where nobody is let in."""
    try:
        with plane.connect(name, PASSWORD) as connection:
            [found] = connection.execute("SELECT count(*) FROM goods").fetchone() or [None]
            return found
    except psycopg.OperationalError:
        return None


def copies(planes: dict[str, DataPlane], name: str) -> dict[str, int]:
    """On which hosts all of it is, open or closed."""
    found = {}
    for host, plane in planes.items():
        try:
            with plane.superuser(name) as connection:
                [count] = connection.execute("SELECT count(*) FROM goods").fetchone() or [0]
                found[host] = count
        except psycopg.Error:
            continue
    return found


def test_it_works(session, control_sessions, planes, shop):
    operation_id = queued(session, shop)
    assert shop.status == "restoring"
    hosts = Hosts(planes)
    done = attempt(control_sessions, operation_id, hosts)
    session.expire_all()
    assert len(hosts.played) == PLAYS
    assert (shop.host.name, shop.status, shop.applied_generation) == ("db2", "active", shop.generation)
    assert copies(planes, shop.name) == {"db2": 10}
    assert (rows(planes["db1"], shop.name), rows(planes["db2"], shop.name)) == (None, 10)
    address = f"db2.example.com:{planes['db2'].pgbouncer_port} (direct: 6433)"
    assert done.changes[0] == f"Moved from db1 to db2; connect to {address} from now on"


def test_the_connection_string_stays_where_hosts_share_a_name(session, control_sessions, planes, shop):
    session.execute(update(Host).values(public_host="db.example.com", pgbouncer_port=6432))
    session.commit()
    done = attempt(control_sessions, queued(session, shop), Hosts(planes))
    assert done.changes[0] == "Moved from db1 to db2; the connection string stays"


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("die_at", range(PLAYS))
def test_a_worker_that_dies_loses_nothing(session, control_sessions, planes, shop, die_at, after):
    operation_id = queued(session, shop)
    with pytest.raises(Killed):
        attempt(control_sessions, operation_id, Hosts(planes, die_at, after))
    assert 10 in copies(planes, shop.name).values()
    attempt(control_sessions, operation_id, Hosts(planes))
    session.expire_all()
    assert (shop.host.name, shop.status) == ("db2", "active")
    assert copies(planes, shop.name) == {"db2": 10}
    assert rows(planes["db2"], shop.name) == 10


def test_what_does_not_arrive_whole_stays_where_it_is(session, control_sessions, planes, shop):
    operation_id = queued(session, shop)
    with pytest.raises(Refused, match="not what was backed up") as refused:
        attempt(control_sessions, operation_id, Hosts(planes, fail="restore"))
    operation = session.get_one(Operation, operation_id, populate_existing=True)
    assert operation.fence is not None
    assert settle.fail(session, operation, operation.fence, refused.value.failure)
    session.commit()
    session.expire_all()
    assert (shop.host.name, shop.status) == ("db1", "active")
    assert copies(planes, shop.name) == {"db1": 10}
    opening = session.scalars(select(Operation).where(Operation.kind == "database.restart")).one()
    assert (opening.host.name, opening.state) == ("db1", "queued")
    item = {"name": shop.name, "generation": shop.generation, "verifier": shop.verifier, "disconnect": True}
    planes["db1"].converge(item)
    write(planes["db1"], shop.name, 11, "BEGIN")
    assert rows(planes["db1"], shop.name) == 11


@pytest.mark.parametrize(("away", "moved"), [("db1", False), ("db2", False), ("db1", True), ("db2", True)])
def test_a_host_that_is_away_is_waited_for_only_after_the_switch(session, control_sessions, planes, shop, away, moved):
    """Before it the source is opened again instead; afterwards everything is on the other host."""
    operation_id = queued(session, shop)
    if moved:
        with pytest.raises(Killed):
            attempt(control_sessions, operation_id, Hosts(planes, OPEN_AT))
    with pytest.raises(Unreachable if moved else Refused) as raised:
        attempt(control_sessions, operation_id, Hosts(planes, away=away))
    if isinstance(raised.value, Refused):
        assert not raised.value.failure.retryable
    attempt(control_sessions, operation_id, Hosts(planes))
    assert copies(planes, shop.name) == {"db2": 10}


def test_rows_written_between_two_tries_are_moved_too(session, control_sessions, planes, shop):
    """Somebody opened the source by hand after the first try had dumped it."""
    operation_id = queued(session, shop)
    with pytest.raises(Killed):
        attempt(control_sessions, operation_id, Hosts(planes, 4))
    planes["db1"].converge({"name": shop.name, "verifier": shop.verifier})
    write(planes["db1"], shop.name, 11, "BEGIN")
    attempt(control_sessions, operation_id, Hosts(planes))
    assert copies(planes, shop.name) == {"db2": 11}


def test_clients_read_until_all_of_it_has_arrived(session, control_sessions, planes, shop):
    read: list[int | None] = []
    hosts = Hosts(planes, meanwhile=lambda _play: read.append(rows(planes["db1"], shop.name)))
    attempt(control_sessions, queued(session, shop), hosts)
    assert read == [10] * (CLOSED_AT + 1) + [None] * (PLAYS - CLOSED_AT - 1)


def test_a_write_is_refused_while_it_moves(session, control_sessions, planes, shop):
    """By an error that says so; what was open before is cut off, and does not go on writing."""
    before = planes["db1"].connect(shop.name, PASSWORD)

    def insist(play: int) -> None:
        if play == 1:
            with pytest.raises(psycopg.OperationalError):
                before.execute("INSERT INTO goods VALUES (11)")
            with pytest.raises(ReadOnlySqlTransaction):
                write(planes["db1"], shop.name, 11, "BEGIN")

    hosts = Hosts(planes, meanwhile=insist)
    attempt(control_sessions, queued(session, shop), hosts)
    assert len(hosts.played) == PLAYS
    assert copies(planes, shop.name) == {"db2": 10}
    write(planes["db2"], shop.name, 11, "BEGIN")


@pytest.mark.parametrize("at", [1, 2, CLOSED_AT])
def test_what_is_written_all_the_same_is_moved_too(session, control_sessions, planes, shop, at):
    """Before the dump, which has it; or after it, so that it is dumped again while nobody gets in."""

    def insist(play: int) -> None:
        if play == at:
            write(planes["db1"], shop.name, 11)
        if play > CLOSED_AT:
            assert rows(planes["db1"], shop.name) is None

    hosts = Hosts(planes, meanwhile=insist)
    attempt(control_sessions, queued(session, shop), hosts)
    assert copies(planes, shop.name) == {"db2": 11}
    if at > 1:  # what was written just before the dump may be counted only after it
        assert len(hosts.played) == PLAYS + AGAIN


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("die_at", range(CLOSED_AT, CLOSED_AT + AGAIN + 3))
def test_a_worker_that_dies_while_it_dumps_again_loses_nothing(session, control_sessions, planes, shop, die_at, after):
    operation_id = queued(session, shop)
    insisted = []

    def insist(play: int) -> None:
        if play == 2:
            insisted.append(write(planes["db1"], shop.name, 11))

    with pytest.raises(Killed):
        attempt(control_sessions, operation_id, Hosts(planes, die_at, after, meanwhile=insist))
    assert 11 in copies(planes, shop.name).values()
    attempt(control_sessions, operation_id, Hosts(planes))
    assert len(insisted) == 1
    assert copies(planes, shop.name) == {"db2": 11}


def test_a_stopped_one_stays_stopped(session, control_sessions, planes, shop):
    planes["db1"].converge({"name": shop.name, "state": "stopped", "verifier": shop.verifier})
    shop.status, shop.desired_state = "stopped", "stopped"
    session.commit()
    hosts = Hosts(planes)
    attempt(control_sessions, queued(session, shop), hosts)
    session.expire_all()
    assert (shop.host.name, shop.status, len(hosts.played)) == ("db2", "stopped", CLOSED_PLAYS)
    assert rows(planes["db2"], shop.name) is None
    planes["db2"].converge({"name": shop.name, "verifier": shop.verifier})
    assert copies(planes, shop.name) == {"db2": 10}


def test_what_an_earlier_try_sends_late_is_refused(session, control_sessions, planes, shop):
    """A worker that was taken for dead opens nothing that a later try has closed."""
    operation_id = queued(session, shop)
    with pytest.raises(Killed):
        attempt(control_sessions, operation_id, Hosts(planes, 2))
    earlier = session.get_one(Operation, operation_id, populate_existing=True).generation
    late = {"name": shop.name, "verifier": shop.verifier, "generation": earlier}
    hosts = Hosts(planes, CLOSED_AT, after=True)
    with pytest.raises(Killed):
        attempt(control_sessions, operation_id, hosts)
    [refused] = planes["db1"].converge(late)
    assert refused["error"]["code"] == "stale_generation"
    attempt(control_sessions, operation_id, Hosts(planes))
    assert copies(planes, shop.name) == {"db2": 10}


def test_a_failure_after_the_switch_leaves_it_on_the_new_host(session, control_sessions, planes, shop):
    operation_id = queued(session, shop)
    with pytest.raises(Killed):
        attempt(control_sessions, operation_id, Hosts(planes, PLAYS - 1))
    operation = session.get_one(Operation, operation_id, populate_existing=True)
    session.execute(update(Operation).where(Operation.id == operation_id).values(cancel_requested_at=func.now()))
    assert operation.fence is not None
    assert settle.cancel(session, operation, operation.fence)
    session.commit()
    session.expire_all()
    assert (shop.host.name, shop.status) == ("db2", "active")
    assert copies(planes, shop.name)["db2"] == 10
    opening = session.scalars(select(Operation).where(Operation.kind == "database.restart")).one()
    assert opening.host.name == "db2"


def end(session: Session, operation_id: uuid.UUID) -> None:
    """Cancel a try that has died, as the carrier does."""
    operation = session.get_one(Operation, operation_id, populate_existing=True)
    assert operation.fence is not None
    assert settle.cancel(session, operation, operation.fence)
    session.execute(update(Operation).where(Operation.lane == "converge").values(state="succeeded"))
    session.commit()
    session.expire_all()


def dropped(session: Session, sessions: sessionmaker[Session], planes: dict[str, DataPlane], name: str) -> Done:
    """What became of the copy on that host, once the chore has found it."""
    assert left_copies.queue_due(session) == 1
    session.commit()
    operation = session.scalars(select(Operation).where(Operation.kind == "database.drop_copy")).one()
    assert operation.host.name == name
    return attempt(sessions, operation.id, Hosts(planes))


def test_a_copy_that_stayed_behind_is_dropped(session, control_sessions, planes, shop):
    operation_id = queued(session, shop)
    with pytest.raises(Killed):
        attempt(control_sessions, operation_id, Hosts(planes, PLAYS - 1))
    end(session, operation_id)
    assert copies(planes, shop.name) == {"db1": 10, "db2": 10}
    assert left_copies.names_on(session, shop.host_id) == []
    dropped(session, control_sessions, planes, "db1")
    assert copies(planes, shop.name) == {"db2": 10}
    assert session.scalars(select(Copy)).all() == []
    assert rows(planes["db2"], shop.name) == 10


def test_what_a_cancelled_move_has_brought_is_dropped_too(session, control_sessions, planes, shop):
    operation_id = queued(session, shop)
    with pytest.raises(Killed):
        attempt(control_sessions, operation_id, Hosts(planes, CLOSED_AT))
    end(session, operation_id)
    assert copies(planes, shop.name) == {"db1": 10, "db2": 10}
    dropped(session, control_sessions, planes, "db2")
    assert copies(planes, shop.name) == {"db1": 10}
    assert session.scalars(select(Copy)).all() == []


def test_a_move_back_to_a_copy_replaces_it_and_nobody_drops_it(session, control_sessions, planes, shop):
    """An order to drop the copy that comes after the database has returned finds none."""
    operation_id = queued(session, shop)
    with pytest.raises(Killed):
        attempt(control_sessions, operation_id, Hosts(planes, PLAYS - 1))
    end(session, operation_id)
    planes["db2"].converge({"name": shop.name, "verifier": shop.verifier})
    write(planes["db2"], shop.name, 11)
    assert left_copies.queue_due(session) == 1
    session.commit()
    late = session.scalars(select(Operation).where(Operation.kind == "database.drop_copy")).one()
    with pytest.raises(OperationInProgress):
        moves.move_database(session, SYSTEM, shop, "db1")
    late.state = "failed"
    back = moves.move_database(session, SYSTEM, shop, "db1")
    session.commit()
    assert left_copies.queue_due(session) == 0
    attempt(control_sessions, back.id, Hosts(planes))
    assert copies(planes, shop.name) == {"db1": 11}
    assert session.scalars(select(Copy)).all() == []
    hosts = Hosts(planes)
    attempt(control_sessions, late.id, hosts)
    assert hosts.played == []
    assert rows(planes["db1"], shop.name) == 11


def test_where_a_database_cannot_go(session, shop):
    for name, error in (("db1", Conflict), ("db9", HostNotFound)):
        with pytest.raises(error):
            moves.move_database(session, SYSTEM, shop, name)
    session.execute(update(Host).where(Host.name == "db2").values(capacity=0))
    with pytest.raises(HostUnavailable, match="no room"):
        moves.move_database(session, SYSTEM, shop, "db2")
    session.execute(update(Host).where(Host.name == "db2").values(capacity=5, state="draining"))
    with pytest.raises(HostUnavailable):
        moves.move_database(session, SYSTEM, shop, "db2")
    session.execute(update(Host).where(Host.name == "db2").values(state="active"))
    moves.move_database(session, SYSTEM, shop, "db2")
    with pytest.raises((DatabaseNotActive, OperationInProgress)):
        moves.move_database(session, SYSTEM, shop, "db2")
