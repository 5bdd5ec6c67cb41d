"""GET /healthz, /readyz, /metrics and /api/v1/health."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, Set, problem
from tests.support.reports import database_report, keep, make_report
from webapp.models import Database, Host, HostReport, Operation


def test_health(alice: Caller, charlie: Caller, nobody: Caller, shop: Database) -> None:
    response = alice.get("/api/v1/health")
    assert response.status_code == 200
    body = response.get_json()
    [host] = body["hosts"]
    assert body["status"] == "healthy"
    known = {
        "name": "db1", "state": "active", "region": "default", "databases": 1, "capacity": 5000,
        "openOperations": 0, "oldestOpenS": 0.0, "disks": [], "problems": [],
    }  # fmt: skip
    assert {name: host[name] for name in known} == known
    assert {value for name, value in host.items() if name not in known} == {None}
    assert charlie.get("/api/v1/health").status_code == 200
    problem(nobody.get("/api/v1/health"), 401, "UNAUTHORIZED")


def test_a_report_gives_the_figures(alice: Caller, host: Host, session: Session) -> None:
    keep(session, host, make_report())
    body = alice.get("/api/v1/health").get_json()
    [found] = body["hosts"]
    assert body["status"] == "healthy"
    assert found["problems"] == []
    assert found["disks"][0] == {"purpose": "data", "totalBytes": 1000, "freeBytes": 500}
    assert (found["postgresVersion"], found["pgbouncerVersion"], found["load"]) == ("18.0", "1.24.1", 0.5)
    assert (found["clientsActive"], found["maxClients"], found["memoryAvailableBytes"]) == (3, 4000, 50)
    assert None not in (found["certificateExpiresAt"], found["reportedAt"])


def test_a_certificate_of_a_few_days_is_well_until_its_last_ones(alice: Caller, host: Host, session: Session) -> None:
    now = datetime.now(UTC)
    short = {"certificate_begins_at": now - timedelta(hours=40), "certificate_expires_at": now + timedelta(hours=32)}
    keep(session, host, make_report(**short))
    assert alice.get("/api/v1/health").get_json()["status"] == "healthy"
    keep(session, host, make_report(**{**short, "certificate_expires_at": now + timedelta(hours=7)}))
    assert alice.get("/api/v1/health").get_json()["status"] == "degraded"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"disks": [{"purpose": "wal", "path": "/", "total_bytes": 10**12, "free_bytes": 10**10}]}, "the wal"),
        ({"memory": {"total_bytes": 100, "available_bytes": 2}}, "short of memory: it gets no new databases"),
        ({"certificate_expires_at": datetime.now(UTC) + timedelta(days=13)}, "certificate"),
        ({"problems": [{"part": "pgbouncer", "message": "It is gone."}], "pgbouncer": None}, "It is gone."),
    ],
)
def test_what_a_report_says_is_wrong_degrades(
    alice: Caller, host: Host, session: Session, changed: dict[str, Any], said: str
) -> None:
    keep(session, host, make_report(**changed))
    body = alice.get("/api/v1/health").get_json()
    assert body["status"] == "degraded"
    [sentence] = body["hosts"][0]["problems"]
    assert said in sentence


def test_an_old_report_or_none_degrades(alice: Caller, host: Host, session: Session) -> None:
    host.created_at = datetime.now(UTC) - timedelta(minutes=10)
    session.commit()
    assert alice.get("/api/v1/health").get_json()["hosts"][0]["problems"] == ["The host's last report is too old."]
    keep(session, host, make_report())
    assert alice.get("/api/v1/health").get_json()["status"] == "healthy"
    kept = session.get_one(HostReport, host.id)
    kept.sampled_at, kept.error = datetime.now(UTC) - timedelta(minutes=10), "The host cannot be reached."
    session.commit()
    [found] = alice.get("/api/v1/health").get_json()["hosts"]
    assert found["problems"] == ["The host's last report is too old. The host cannot be reached."]


def test_degraded(alice: Caller, queued: Operation, host: Host, session: Session) -> None:
    queued.created_at = datetime.now(UTC) - timedelta(minutes=5)
    session.commit()
    body = alice.get("/api/v1/health").get_json()
    assert body["status"] == "degraded"
    assert body["hosts"][0]["openOperations"] == 1
    assert body["hosts"][0]["oldestOpenS"] > 200


def test_host_offline(alice: Caller, host: Host, session: Session) -> None:
    host.state = "offline"
    session.commit()
    assert alice.get("/api/v1/health").get_json()["status"] == "degraded"


def test_probes(nobody: Caller, session: Session) -> None:
    assert nobody.get("/healthz").get_json() == {"status": "ok"}
    assert nobody.get("/readyz").get_json() == {"status": "ready"}
    session.execute(text("UPDATE alembic_version SET version_num = 'older'"))
    session.commit()
    assert nobody.get("/readyz").status_code == 503


def test_probes_without_a_database(make_api: Set, cluster: object) -> None:
    app = make_api()
    app.extensions["dbhost"].settings.database_url = type(app.extensions["dbhost"].settings.database_url)(
        "postgresql:///nothing?host=/nowhere"
    )
    client = app.test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503


def test_metrics(nobody: Caller, alice: Caller, admin: Caller, shop: Database, session: Session) -> None:
    keep(session, shop.host, make_report(database_report("shop")))
    response = nobody.get("/metrics")
    assert response.status_code == 200
    text_lines = response.get_data(as_text=True).splitlines()
    assert 'dbhost_databases{status="active"} 1.0' in text_lines
    assert 'dbhost_operations{state="succeeded"} 1.0' in text_lines
    assert 'dbhost_host_capacity{host="db1"} 5000.0' in text_lines
    assert 'dbhost_host_load1{host="db1"} 0.5' in text_lines
    assert 'dbhost_host_disk_free_bytes{host="db1",purpose="data"} 500.0' in text_lines
    assert 'dbhost_host_problems{host="db1"} 0.0' in text_lines
    assert 'dbhost_database_size_bytes{database="shop",host="db1"} 1000.0' in text_lines
    assert 'dbhost_database_clients_active{database="shop",host="db1"} 1.0' in text_lines
    away = {"environ_base": {"REMOTE_ADDR": "198.51.100.7"}}
    problem(nobody.get("/metrics", headers={"Accept": "application/json"}, **away), 401, "UNAUTHORIZED")
    problem(nobody.get("/metrics", headers={"Accept": "application/json", "X-Forwarded-For": "x"}), 401, "UNAUTHORIZED")
    problem(alice.get("/metrics", headers={"Accept": "application/json"}, **away), 403, "FORBIDDEN")
    assert admin.get("/metrics", **away).status_code == 200
