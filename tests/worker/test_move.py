"""Moving a database between two real hosts (PostgreSQL and PgBouncer each), killed before and after each play."""

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, sessionmaker

from agent_modules.module_utils.dbhost import dump_options
from tests.support import dumps
from tests.support.dataplane import DataPlane, running, verifier
from tests.support.rows import make_database, make_user
from tests.worker.conftest import services_of
from webapp.config import Settings
from webapp.models import Database, Host, Operation
from webapp.models.operations import FENCES
from webapp.services import moves
from webapp.services.actors import SYSTEM
from webapp.services.errors import Conflict, DatabaseNotActive, HostNotFound, HostUnavailable, OperationInProgress
from webapp.worker import settle
from webapp.worker.claim import load
from webapp.worker.hosts import Server, Shutdown
from webapp.worker.long.job import Done, LongJob, Refused
from webapp.worker.long.moves import move
from webapp.worker.report import Item
from webapp.worker.runner import Outcome

PLAYS = 7  # close, dump, close there, fetch, restore, open there, drop
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
    played: list[str] = field(default_factory=list)

    def play(self, playbook: str, host: str, variables: dict[str, Any], **_options: Any) -> Outcome:
        dies = len(self.played) == self.die_at
        self.played.append(playbook)
        if dies and not self.after:
            raise Killed
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
    """One try of the move, under a new fence, and what the carrier writes when it went well."""
    with sessions() as session:
        fence = session.scalars(select(FENCES.next_value())).one()
        running = {"state": "running", "fence": fence, "attempt": Operation.attempt + 1}
        session.execute(update(Operation).where(Operation.id == operation_id).values(**running))
        session.commit()
        [operation] = load(session, [operation_id])
        server = Server(Settings(), sessions, None, Shutdown(), "test")  # type: ignore[arg-type]
        job = Job(operation, fence, server, lambda: None, None)  # type: ignore[arg-type]
        job.hosts = hosts
    done = move(job)
    with sessions() as session:
        operation = session.get_one(Operation, operation_id)
        assert settle.succeed_long(session, operation, fence, done.changes, done.record)
        session.commit()
    return done


def queued(session: Session, shop: Database) -> uuid.UUID:
    operation = moves.move_database(session, SYSTEM, shop, "db2")
    session.commit()
    return operation.id


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
    address = f"db2.example.com:{planes['db2'].pgbouncer_port}"
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
    opening = session.scalars(select(Operation).where(Operation.kind == "database.start")).one()
    assert (opening.host.name, opening.state) == ("db1", "queued")
    item = {"name": shop.name, "generation": shop.generation, "verifier": shop.verifier}
    planes["db1"].converge(item)
    assert rows(planes["db1"], shop.name) == 10


def test_rows_written_between_two_tries_are_moved_too(session, control_sessions, planes, shop):
    """Somebody opened the source by hand after the first try had dumped it."""
    operation_id = queued(session, shop)
    with pytest.raises(Killed):
        attempt(control_sessions, operation_id, Hosts(planes, 4))
    planes["db1"].converge({"name": shop.name, "generation": shop.generation, "verifier": shop.verifier})
    with planes["db1"].connect(shop.name, PASSWORD) as connection:
        connection.execute("INSERT INTO goods VALUES (11)")
    attempt(control_sessions, operation_id, Hosts(planes))
    assert copies(planes, shop.name) == {"db2": 11}


def test_a_failure_after_the_switch_leaves_it_on_the_new_host(session, control_sessions, planes, shop):
    operation_id = queued(session, shop)
    with pytest.raises(Killed):
        attempt(control_sessions, operation_id, Hosts(planes, 6))
    operation = session.get_one(Operation, operation_id, populate_existing=True)
    session.execute(update(Operation).where(Operation.id == operation_id).values(cancel_requested_at=func.now()))
    assert operation.fence is not None
    assert settle.cancel(session, operation, operation.fence)
    session.commit()
    session.expire_all()
    assert (shop.host.name, shop.status) == ("db2", "active")
    assert copies(planes, shop.name)["db2"] == 10
    opening = session.scalars(select(Operation).where(Operation.kind == "database.start")).one()
    assert opening.host.name == "db2"


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
