"""The migrated schema is what the models say, and the constraints are what the code says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from procrastinate.schema import SchemaManager
from sqlalchemy import Engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.orm import Session

from tests.support.cluster import Cluster
from webapp import database_admin, models, schema_version
from webapp.models import (
    backups,
    billing,
    databases,
    drift,
    invitations,
    one_time_tokens,
    operations,
    records,
    users,
    webhooks,
)
from webapp.models.base import Base

CHECKED = {
    "ck_audit_events_actor_type": records.ACTOR_TYPES,
    "ck_backups_kind": backups.BACKUP_KINDS,
    "ck_backups_state": backups.BACKUP_STATES,
    "ck_backups_store": backups.STORES,
    "ck_hosts_state": databases.HOST_STATES,
    "ck_hosts_short_of": databases.SHORTAGES,
    "ck_databases_status": databases.DATABASE_STATUSES,
    "ck_databases_desired_state": databases.DESIRED_STATES,
    "ck_databases_pool_mode": databases.POOL_MODES,
    "ck_databases_storage_state": databases.STORAGE_STATES,
    "ck_members_level": databases.LEVELS,
    "ck_invitations_level": invitations.OFFERED,
    "ck_differences_kind": drift.DIFFERENCE_KINDS,
    "ck_operations_state": operations.OPERATION_STATES,
    "ck_operations_kind": ("^[a-z]+[.][a-z_]+$",),
    "ck_operations_lane": operations.LANES,
    "ck_runs_lane": operations.LANES,
    "ck_runs_state": operations.RUN_STATES,
    "ck_run_steps_state": operations.STEP_STATES,
    "ck_one_time_tokens_purpose": one_time_tokens.PURPOSES,
    "ck_users_platform_role": users.PLATFORM_ROLES,
    "ck_users_state": users.USER_STATES,
    "ck_api_keys_scope": users.KEY_SCOPES,
    "ck_subscriptions_status": billing.SUBSCRIPTION_STATUSES,
    "ck_webhook_endpoints_state": webhooks.ENDPOINT_STATES,
    "ck_webhook_deliveries_state": webhooks.DELIVERY_STATES,
}
CHECKS = """
    SELECT conname, pg_get_constraintdef(oid) AS rule FROM pg_constraint
    WHERE contype = 'c' AND connamespace = 'public'::regnamespace AND conname LIKE 'ck\\_%'
"""


def ours(_object: object, name: str | None, *_rest: object) -> bool:
    return not (name or "").startswith(("procrastinate_", "idx_procrastinate_"))


def test_models_and_migrations_do_not_differ(control_engine: Engine) -> None:
    with control_engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": ours, "compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_checks_are_in_step_with_the_code(control_engine: Engine) -> None:
    with control_engine.connect() as connection:
        found = {row.conname: row.rule for row in connection.execute(text(CHECKS))}
    assert found.keys() == CHECKED.keys()
    for name, values in CHECKED.items():
        assert set(re.findall(r"'([^']+)'", found[name])) == set(values), name


def test_every_sequence_of_the_models_exists(control_engine: Engine) -> None:
    with control_engine.connect() as connection:
        for sequence in (databases.GENERATIONS, operations.FENCES):
            assert connection.scalar(sequence) == 1


def test_rate_counters_are_unlogged(session: Session) -> None:
    persistence = session.scalar(text("SELECT relpersistence FROM pg_class WHERE relname = 'rate_counters'"))
    assert persistence == "u"


def test_second_upgrade_changes_nothing(control_url: str, control_engine: Engine) -> None:
    stamp = text("SELECT max(xmin::text::bigint) FROM pg_class")
    with control_engine.connect() as connection:
        before = connection.scalar(stamp)
    database_admin.upgrade(control_url)
    with control_engine.connect() as connection:
        assert connection.scalar(stamp) == before
    assert schema_version.is_current(control_url)


def test_the_newest_schema_is_the_head_that_alembic_finds() -> None:
    scripts = ScriptDirectory.from_config(database_admin.configuration(""))
    assert scripts.get_heads() == [schema_version.newest()]


def test_two_upgrades_at_once_take_turns(cluster: Cluster) -> None:
    url = cluster.create_database("two_upgrades")
    assert schema_version.current(url) is None
    script = f"from webapp import database_admin; database_admin.upgrade({url!r})"
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert schema_version.is_current(url)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_events SET subject = 'x'", "DELETE FROM audit_events", "TRUNCATE audit_events"],
)
def test_audit_events_cannot_be_changed(session: Session, statement: str) -> None:
    session.add(models.AuditEvent(actor_type="system", actor_label="system", action="test", subject="s"))
    session.commit()
    with pytest.raises(ProgrammingError, match="append-only"):
        session.execute(text(statement))


def test_the_queue_schema_is_the_one_that_was_migrated() -> None:
    """0001 runs the installed Procrastinate's schema: a newer release needs a migration of its own here."""
    newest = max(path.name for path in Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    assert newest == "03.04.00_50_post_add_retry_failed_job_procedure.sql"
