"""Deleting a user with a database and taking it back, seen by real clients: everything is as it was."""

import re
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from tests.stack.conftest import create
from tests.support.stack import PASSWORD, Stack, psql
from tests.worker.conftest import wait_until

pytestmark = pytest.mark.stack
CSRF = re.compile(r'name="csrf_token" value="([^"]+)"')


class Dashboard:
    """The dashboard as a browser without JavaScript uses it."""

    def __init__(self, url: str, email: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=60)
        assert self.send("/sign-in", "/sign-in", email=email, password=PASSWORD).status_code == 303

    def send(self, page: str, path: str, **form: str) -> httpx.Response:
        """Send a form of *page* to *path*."""
        found = CSRF.search(self.client.get(page).text)
        assert found is not None, page
        return self.client.post(path, data={"csrf_token": found[1], **form})


@pytest.fixture
def admin(stack: Stack) -> Iterator[Dashboard]:
    dashboard = Dashboard(stack.url, "admin@localhost")
    yield dashboard
    dashboard.client.close()


def refused(connection_string: str) -> bool:
    try:
        psycopg.connect(connection_string, connect_timeout=5).close()
    except psycopg.OperationalError:
        return True
    return False


def test_a_deleted_user_comes_back_with_databases_data_password_and_members(
    stack: Stack, bob: httpx.Client, admin: Dashboard
) -> None:
    email = f"dora-{secrets.token_hex(3)}@example.com"
    stack.user(email)
    with stack.client(stack.key(email)) as dora:
        made = create(dora)
        path, url = f"/databases/{made['id']}", made["connectionString"]
        psql(url, "create table kept(i int)", "insert into kept values (42)")
        assert dora.post(f"{path}/members", json={"email": "bob@example.com", "role": "developer"}).status_code == 201
        own: dict[str, Any] = bob.post(f"{path}/members/me/credentials").json()
        assert psql(own["connectionString"], "select i from kept").stdout.strip() == "42"

        with stack.control() as control:
            row = control.execute("SELECT id FROM users WHERE email = %s", [email]).fetchone()
        assert row is not None
        page = f"/admin/users/{row[0]}"
        assert admin.send(page, f"{page}/delete", confirmation=email).status_code == 303
        assert dora.get("/databases").status_code == 401
        wait_until(lambda: refused(url) and refused(own["connectionString"]), timeout_s=120)

        wait_until(lambda: admin.send(page, f"{page}/undelete").status_code == 303, timeout_s=120)
        wait_until(lambda: dora.get(path).json()["status"] == "active", timeout_s=120)
        assert psql(url, "select i from kept").stdout.strip() == "42"
        assert psql(own["connectionString"], "insert into kept values (43)").returncode == 0
        assert [each["email"] for each in dora.get(f"{path}/members").json()["data"]] == ["bob@example.com"]
        assert bob.get(path).status_code == 200
        assert dora.delete(path).status_code == 204
