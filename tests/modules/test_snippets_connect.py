"""The snippets of Python and Node as they are, run against both doors with a private authority."""

import shlex
import shutil
import subprocess
import sys

import pytest

from tests.support.servers import postgres_tool
from webapp.web import more_snippets, snippets

DOORS = pytest.mark.parametrize("is_direct", [False, True], ids=["pooled", "direct"])
PYTHON = ("python", "sqlalchemy", "sqlalchemy-asyncpg", "asyncpg")
NODE = ("node", "postgres-js", "drizzle")
PACKAGES = ("pg@8.23.1", "postgres@3.4.9", "drizzle-orm@0.45.4")


@pytest.fixture
def folder(dataplane, tmp_path):
    """Where a person works, with the certificate saved as the snippets have it."""
    shutil.copy(dataplane.ca, tmp_path / snippets.CA_FILE)
    return tmp_path


def texts(dataplane, shop, *, is_direct):
    connection = snippets.Connection(
        host="127.0.0.1",
        port=dataplane.pgbouncer_port,
        direct_port=dataplane.direct_port,
        database=shop.name,
        user=shop.name,
        password=shop.password,
        root="/somewhere/on/the/server",
        is_direct=is_direct,
    )
    return {snippet.id: snippet.text for snippet in more_snippets.of(connection)}


def says_version(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "PostgreSQL" in done.stdout, done.stderr
    assert "Warning" not in done.stderr


@DOORS
def test_python(dataplane, shop, folder, is_direct):
    made = texts(dataplane, shop, is_direct=is_direct)
    for id in PYTHON:
        says_version([sys.executable, "-W", "error", "-c", made[id]], folder)


@DOORS
def test_psql(dataplane, shop, folder, is_direct):
    _, url = shlex.split(texts(dataplane, shop, is_direct=is_direct)["psql"])
    says_version([postgres_tool("psql"), "-X", "-c", "select version()", url], folder)


@pytest.mark.slow
def test_node(dataplane, shop, folder):
    assert shutil.which("npm"), "Snippets for Node are tested for real: install nodejs and npm"
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder)]
    subprocess.run([*install, *PACKAGES], check=True, capture_output=True)
    for is_direct in (False, True):
        made = texts(dataplane, shop, is_direct=is_direct)
        for id in NODE:
            (folder / f"{id}.mjs").write_text(made[id], encoding="utf-8")
            says_version(["node", f"{id}.mjs"], folder)
