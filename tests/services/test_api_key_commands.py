"""`dbhost api-key` on the control database: create, list, replace, revoke; and keys that end by themselves."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from webapp.cli.main import main
from webapp.config import settings
from webapp.models import ApiKey, AuditEvent
from webapp.services import api_keys
from webapp.services.actors import Actor
from webapp.services.errors import Unauthorized

ALICE = ("--user", "alice@example.com")


@pytest.fixture(autouse=True)
def control(control_url: str, session: Session, alice: Actor, bob: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alice and Bob on the database that the command reaches."""
    session.commit()
    monkeypatch.setenv("DATABASE_URL", control_url)
    settings.cache_clear()


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["api-key", *words])
    assert result.exit_code == code, result.output
    return result.output.strip()


def listed(*owner: str) -> list[dict[str, Any]]:
    return list(json.loads(run("list", *(owner or ALICE), "--json"))["data"])


def test_it_works(session: Session) -> None:
    secret = run("create", *ALICE, "--label", "CI", "--days", "30")
    assert secret.startswith("dbh_")
    assert api_keys.authenticate(session, secret, ip="192.0.2.7").label == "CI"
    session.commit()
    [row] = listed()
    assert (row["prefix"], row["label"], row["lastUsedIp"]) == (secret[:12], "CI", "192.0.2.7")
    assert secret not in run("list", *ALICE)
    assert "192.0.2.7" in run("list", *ALICE)
    replaced = run("replace", *ALICE, secret[:12])
    with pytest.raises(Unauthorized):
        api_keys.authenticate(session, secret, ip=None)
    new = api_keys.authenticate(session, replaced, ip=None)
    assert (new.label, new.expires_at is not None) == ("CI", True)
    session.commit()
    assert "Revoked" in run("revoke", *ALICE, str(new.id))
    assert listed() == []
    actions = session.scalars(select(AuditEvent.action).where(AuditEvent.action.startswith("api_key."))).all()
    assert actions == ["api_key.create", "api_key.revoke", "api_key.create", "api_key.revoke"]


def test_a_key_ends_by_itself(session: Session) -> None:
    secret = run("create", *ALICE, "--days", "1")
    [row] = session.scalars(select(ApiKey))
    assert row.expires_at is not None
    assert abs(row.expires_at - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=5)
    session.execute(update(ApiKey).values(expires_at=datetime.now(UTC)))
    session.commit()
    session.expire_all()
    with pytest.raises(Unauthorized, match="The API key is not valid"):
        api_keys.authenticate(session, secret, ip=None)


def test_another_user_s_key_is_not_found() -> None:
    secret = run("create", *ALICE)
    for verb in ("replace", "revoke"):
        assert "no such API key" in run(verb, "--user", "bob@example.com", secret[:12], code=1)
    assert listed("--user", "bob@example.com") == []


def test_a_lifetime_has_limits() -> None:
    for days in ("0", "100000"):
        run("create", *ALICE, "--days", days, code=2)
    run("list", "--user", "nobody@example.com", code=1)
