"""Stored values are never code: templates in every column of every table, and in hosts' variables, stay as they are."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Table, Text, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from tests.services.test_host_changes import KEY
from tests.support.rows import make_database, make_user
from tests.worker.conftest import CHECKOUT, Workers, services_of, wait_until
from webapp import inventory_files
from webapp.models import Backup, Base, Database, Host, Operation
from webapp.services import backups, spool
from webapp.services.actors import SYSTEM
from webapp.worker import environment
from webapp.worker.desired import of_operation
from webapp.worker.hosts import Server
from webapp.worker.long import restores
from webapp.worker.long.job import LongJob, Refused
from webapp.worker.runner import Job
from webapp.worker.steps import Unwatched

ROWS = "SELECT string_agg(t::text, ' ') FROM {} t"
FACTORS, PRODUCT = "7919 * 7907", str(7919 * 7907)
# Without these nothing would be carried out at all; each is planted on its own below.
CARRIED = {"hosts.name", "operations.kind", "databases.name", "backups.filename", "backups.sha256"}


def marker(proof: Path) -> str:
    """What leaves a file or a product behind when anything evaluates it."""
    command = f"""lookup("pipe", "touch {proof}")"""
    return f"{{{{ {command} }}}}{{{{ {FACTORS} }}}}{{% set x = {command} %}}{{# gone #}}!unsafe {{{{ {FACTORS} }}}}"


def plantable() -> Iterator[tuple[Table, Column[Any]]]:
    """Every column that holds text or JSON."""
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, (Text, JSONB, ARRAY)) and not column.foreign_keys:
                yield table, column


def plant(session: Session, table: Table, column: Column[Any], planted: str) -> bool:
    """Put it into all rows; False where the database itself refuses it."""
    key = next(iter(table.primary_key.columns))
    for row in session.execute(select(key, column)).all():
        value: Any = planted
        if isinstance(column.type, JSONB):
            kept = row[1] if isinstance(row[1], dict) else {}
            value = {**kept, planted: planted, "planted": [planted]}
        elif isinstance(column.type, ARRAY):
            value = [planted]
        try:
            with session.begin_nested():
                session.execute(table.update().where(key == row[0]).values({column: value}))
        except DBAPIError:
            return False
    return True


def everything(session: Session) -> str:
    """All rows of all tables, as text."""
    found = [session.scalar(text(ROWS.format(table))) for table in Base.metadata.tables]
    return " ".join(filter(None, found))


@pytest.fixture
def proof(tmp_path: Path) -> Path:
    return tmp_path / "proof"


@pytest.fixture
def shop(workers: Workers, session: Session, host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """An active database with something in it, at a worker whose playbooks pretend."""
    with services_of(workers.home, monkeypatch):
        database = make_database(session, host, make_user(session), status="active", name="shop")
        database.applied_generation = database.generation
        workers.flag("data-shop").write_text("one two three")
        session.commit()
        workers.start(program="tests.worker.backup_program")
        yield database


@pytest.fixture
def ended(session: Session) -> Callable[[Operation], Operation]:
    """Commit, and wait until the operation has ended in whichever way, or was tried once."""

    def wait(operation: Operation) -> Operation:
        session.commit()

        def holds() -> bool:
            session.rollback()
            session.refresh(operation)
            tried = operation.state == "queued" and operation.attempt > 0
            return tried or operation.state in ("succeeded", "failed", "cancelled")

        wait_until(holds, timeout_s=180)
        session.expire_all()
        return operation

    return wait


def test_no_column_reaches_a_template(
    shop: Database, session: Session, ended: Callable[[Operation], Operation], proof: Path
) -> None:
    """A restore and a removal of a backup whose every column says `{{ … }}`; the backup's manifest above all."""
    operation = ended(backups.create_backup(session, SYSTEM, shop))
    assert operation.state == "succeeded"
    backup = session.scalars(select(Backup)).one()
    planted = [
        f"{table.name}.{column.name}"
        for table, column in plantable()
        if f"{table.name}.{column.name}" not in CARRIED and plant(session, table, column, marker(proof))
    ]
    session.commit()
    session.expire_all()
    assert {"backups.manifest", "databases.verifier", "databases.display_name", "hosts.variables"} <= set(planted)
    assert backup.manifest
    assert backup.manifest["planted"] == [marker(proof)]
    assert ended(backups.restore_backup(session, SYSTEM, shop, backup)).state == "succeeded"
    assert not proof.exists()
    assert backup.manifest["planted"] == [marker(proof)]
    assert shop.verifier == marker(proof)
    assert ended(backups.delete_backup(session, SYSTEM, shop, backup)).state == "succeeded"
    assert not proof.exists()
    assert PRODUCT not in everything(session)


@pytest.mark.parametrize("field", ["databases.name", "backups.filename", "backups.sha256"])
def test_names_of_things_are_no_templates_either(
    shop: Database, session: Session, ended: Callable[[Operation], Operation], proof: Path, field: str
) -> None:
    assert ended(backups.create_backup(session, SYSTEM, shop)).state == "succeeded"
    backup = session.scalars(select(Backup)).one()
    table, column = field.split(".")
    assert plant(session, Base.metadata.tables[table], Base.metadata.tables[table].columns[column], marker(proof))
    session.commit()
    session.expire_all()
    ended(backups.restore_backup(session, SYSTEM, shop, backup))
    assert not proof.exists()
    assert PRODUCT not in everything(session)


@pytest.mark.parametrize("name", ["all", "localhost", "@/etc/passwd", "local,away", "!away", "~.*", "--help"])
def test_a_hosts_name_is_no_pattern(out_of_reach: Server, name: str) -> None:
    """`--limit` takes patterns and the names of files."""
    outcome = out_of_reach.look(Job(environment.PLAYBOOK, name, {"tenant_databases": []}, 60))
    assert (outcome.unreachable, outcome.reports) == (True, {})


SHOW = """
- hosts: database_hosts
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{ hostvars[inventory_hostname] }} {{ postgres_listen | default('') }} {{ ansible_ssh_common_args }}"
    - ansible.builtin.set_fact:
        taken: "{{ pgbouncer_public_host }}"
        again: "{{ hostvars[inventory_hostname].postgres_data_dir }}"
    - ansible.builtin.debug:
        msg: "{{ taken }} {{ again }}"
    - ansible.builtin.copy:
        content: "{{ [again, postgres_data_dir, value | default('')] | to_json }}"
        dest: "{{ lookup('ansible.builtin.env', 'SHOWN') }}"
        mode: "0600"
      delegate_to: localhost
      connection: local
"""


def played(tmp_path: Path, inventory: Path, *options: str, **variables: str) -> list[str]:
    """What a play by plain ansible-playbook has of one host's variables."""
    play, shown = tmp_path / "show.yml", tmp_path / "shown"
    play.write_text(SHOW)
    command = [Path(sys.executable).with_name("ansible-playbook"), "-i", inventory, *options, "-v", str(play)]
    known = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    ended = subprocess.run(
        command,
        cwd=CHECKOUT,
        env=known | {"SHOWN": str(shown)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert PRODUCT not in ended.stdout + ended.stderr
    result: list[str] = json.loads(shown.read_text())
    return result


@pytest.fixture
def variable_host(session: Session, proof: Path) -> Host:
    """A host that is reached by SSH, with a template in a role's variable."""
    row = Host(name="db9", public_host="db9.example.com", pgbouncer_port=6432, address="192.0.2.9")
    row.host_keys, row.variables = [" ".join(KEY.split()[:2])], {"postgres_data_dir": marker(proof)}
    session.add(row)
    session.commit()
    return row


def test_the_workers_inventory_is_data(variable_host: Host, tmp_path: Path, proof: Path) -> None:
    made = inventory_files.for_agent(tmp_path / "made", [variable_host], tmp_path / "worker")
    assert played(tmp_path, made)[:2] == [marker(proof)] * 2
    assert not proof.exists()


def test_the_operators_inventory_is_data(
    variable_host: Host, host: Host, control_url: str, tmp_path: Path, proof: Path
) -> None:
    """Plain ansible-playbook with inventory/dbhost.py."""
    session = variable_host.name
    known = {"DATABASE_URL": control_url, "DBHOST_HOME": str(tmp_path / "home"), "DBHOST_SECRET_KEY": "x"}
    script = CHECKOUT / "inventory" / "dbhost.py"
    assert played(tmp_path, script, "--limit", session, **known)[:2] == [marker(proof)] * 2
    assert not proof.exists()


def test_what_is_asked_of_a_host_is_the_row(session: Session, host: Host, proof: Path) -> None:
    """No value is changed on its way out."""
    database = make_database(session, host, make_user(session), verifier=marker(proof), pool_mode="session")
    operation = Operation(kind="database.create", database=database, host=host, actor_type="system", generation=1)
    assert of_operation(operation)["verifier"] == marker(proof)


def test_an_upload_is_a_file_of_its_own(out_of_reach: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The web process makes uploads: by a link it would have the worker read what it may not read itself."""
    with services_of(tmp_path, monkeypatch):
        spool.ensure()
        upload_id = "5dc7e0c5-0000-0000-0000-000000000000"
        secret = tmp_path / "secret"
        secret.write_text("the worker's")
        spool.upload(upload_id).symlink_to(secret)
        params = {"upload_id": upload_id, "size_bytes": 1, "sha256": "x"}
        job = LongJob(None, 0, out_of_reach, lambda: None, Unwatched())  # type: ignore[arg-type]
        with pytest.raises(Refused):
            restores.of_upload(job, params)
