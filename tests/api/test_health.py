"""GET /healthz, /readyz, /metrics and /api/v1/health."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.api.conftest import Caller, Set, problem
from webapp.models import Database, Host, Operation


def test_health(alice: Caller, charlie: Caller, nobody: Caller, shop: Database) -> None:
    response = alice.get("/api/v1/health")
    assert response.status_code == 200
    host = {
        "name": "db1", "state": "active", "databases": 1, "capacity": 5000, "openOperations": 0, "oldestOpenS": 0.0,
    }  # fmt: skip
    assert response.get_json() == {"status": "healthy", "hosts": [host]}
    assert charlie.get("/api/v1/health").status_code == 200
    problem(nobody.get("/api/v1/health"), 401, "UNAUTHORIZED")


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


def test_metrics(nobody: Caller, alice: Caller, admin: Caller, shop: Database) -> None:
    response = nobody.get("/metrics")
    assert response.status_code == 200
    text_lines = response.get_data(as_text=True).splitlines()
    assert 'dbhost_databases{status="active"} 1.0' in text_lines
    assert 'dbhost_operations{state="succeeded"} 1.0' in text_lines
    assert 'dbhost_host_capacity{host="db1"} 5000.0' in text_lines
    away = {"environ_base": {"REMOTE_ADDR": "198.51.100.7"}}
    problem(nobody.get("/metrics", headers={"Accept": "application/json"}, **away), 401, "UNAUTHORIZED")
    problem(nobody.get("/metrics", headers={"Accept": "application/json", "X-Forwarded-For": "x"}), 401, "UNAUTHORIZED")
    problem(alice.get("/metrics", headers={"Accept": "application/json"}, **away), 403, "FORBIDDEN")
    assert admin.get("/metrics", **away).status_code == 200
