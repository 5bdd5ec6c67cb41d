"""`dbhost databases connect` and `psql`: a psql on the PATH says how it was called."""

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from tests.api.commands import run
from tests.api.conftest import Caller
from webapp.cli import api_client
from webapp.models import AuditEvent, Database, Host
from webapp.services import members
from webapp.services.actors import SYSTEM

FAKE = """#!{python}
import json, os, sys
print(json.dumps({{"argv": sys.argv[1:], "environment": dict(os.environ)}}))
sys.exit(5)
"""


@pytest.fixture
def fake_psql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "psql").write_text(FAKE.format(python=sys.executable))
    (folder / "psql").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def dbhost(*words: str) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, since it becomes psql."""
    return subprocess.run([sys.executable, "-m", "webapp.cli", *words], capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("logged_in", "fake_psql")
def test_it_works(alice: Caller, shop: Database, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    monkeypatch.setenv("PGSERVICE", "another")
    monkeypatch.setenv("PGSSLMODE", "disable")
    done = dbhost("databases", "psql", "shop", "-c", "SELECT 'a b'", "--csv")
    assert done.returncode == 5, done.stderr
    told = json.loads(done.stdout)
    assert told["argv"] == ["-c", "SELECT 'a b'", "--csv"]
    known = alice.post(f"/api/v1/databases/{shop.id}/reveal-credentials").get_json()
    found = {name: value for name, value in told["environment"].items() if name.startswith("PG")}
    assert found == {
        "PGAPPNAME": "dbhost psql", "PGHOST": known["host"], "PGPORT": "6432", "PGDATABASE": "shop", "PGUSER": "shop",
        "PGPASSWORD": known["password"], "PGSSLMODE": "require",
    }  # fmt: skip
    assert "database.reveal_credentials" in session.scalars(select(AuditEvent.action)).all()


@pytest.mark.usefixtures("logged_in", "fake_psql", "shop")
def test_connect_takes_either_door() -> None:
    for option, port in ((), "6432"), (("--direct",), "6433"):
        told = json.loads(dbhost("databases", "connect", "shop", *option).stdout)
        assert told["argv"] == []
        assert told["environment"]["PGPORT"] == port


@pytest.mark.usefixtures("logged_in", "fake_psql", "shop")
def test_the_authority_comes_along(app: Flask, session: Session, host: Host, tmp_path: Path) -> None:
    """The file that the connection string names is on another machine: its content is fetched."""
    app.extensions["dbhost"].settings.ca_file = tmp_path / "authority.crt"
    (tmp_path / "authority.crt").write_text("a certificate")
    host.tls_root = "/nowhere/ca.crt"
    session.commit()
    told = json.loads(dbhost("databases", "connect", "shop").stdout)["environment"]
    assert told["PGSSLMODE"] == "verify-full"
    assert Path(told["PGSSLROOTCERT"]).read_text() == "a certificate"
    host.tls_root = "system"
    session.commit()
    assert json.loads(dbhost("databases", "connect", "shop").stdout)["environment"]["PGSSLROOTCERT"] == "system"


@pytest.mark.usefixtures("logged_in", "shop")
def test_without_psql(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = run("databases", "connect", "shop")
    assert result.exit_code == 127
    assert "apt-get install postgresql-client" in result.stderr


@pytest.mark.usefixtures("fake_psql")
def test_a_viewer_is_told_why(
    url: str, bob: Caller, shop: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bob.user is not None
    members.add_member(session, SYSTEM, shop, bob.user.email, "viewer")
    session.commit()
    monkeypatch.setenv("DBHOST_API_URL", url)
    monkeypatch.setenv("DBHOST_API_KEY", bob.key or "")
    result = run("databases", "connect", "shop")
    assert result.exit_code == api_client.DENIED
    assert "You may not see the password of shop" in result.stderr
    assert run("databases", "connect", "nothing").exit_code == api_client.NOT_FOUND


def test_a_real_psql_reads_it(logged_in: str, shop: Database, session: Session, host: Host, control_url: str) -> None:
    """Where nothing listens, psql says which address it was given, and exits with 2."""
    host.public_host, host.pgbouncer_port = "127.0.0.1", 1
    session.commit()
    done = dbhost("databases", "psql", "shop", "-c", "SELECT 1")
    assert done.returncode == 2
    assert re.search(r"127\.0\.0\.1.*port 1 failed", done.stderr)


def test_a_key_that_others_can_read_is_refused(logged_in: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = api_client.credentials_file()
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        result = run("databases", "list")
        assert result.exit_code == api_client.DENIED
        assert f"chmod 600 {path}" in result.stderr
    path.chmod(0o600)
    assert run("databases", "list").exit_code == 0
    path.chmod(0o644)
    key = json.loads(path.read_text())["apiKey"]
    assert run("auth", "login", "--api-key", key, "--api-url", logged_in).exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
