"""What an owner may create in a database of their own, and what that shows of others."""

import re
from pathlib import Path

from psycopg import sql

TRUSTED = "SELECT DISTINCT name FROM pg_available_extension_versions WHERE trusted ORDER BY 1"
CREATE = "CREATE EXTENSION IF NOT EXISTS {} CASCADE"


def test_an_owner_creates_every_trusted_extension(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as session:
        names = [name for (name,) in session.execute(TRUSTED)]
        for name in names:
            session.execute(sql.SQL(CREATE).format(sql.Identifier(name)))
        assert {name for (name,) in session.execute("SELECT extname FROM pg_extension")} == set(names)
    assert {"uuid-ossp", "pgcrypto", "pg_trgm", "hstore", "citext", "ltree"} <= set(names)


def test_typeorms_default_column_works(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as session:
        session.execute('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"')
        session.execute("CREATE TABLE users (id uuid NOT NULL DEFAULT uuid_generate_v4() PRIMARY KEY, name text)")
        session.execute("INSERT INTO users (name) VALUES ('Ada'), ('Grace')")
        assert session.execute("SELECT count(DISTINCT id) FROM users").fetchone() == (2,)


def test_the_page_lists_them(dataplane, shop):
    page = (Path(__file__).parents[2] / "docs/extensions.md").read_text(encoding="utf-8")
    told, refused = page.split("## ")[1:3]
    with dataplane.connect(shop.name, shop.password) as session:
        trusted = {name for (name,) in session.execute(TRUSTED)}
        every = {name for (name,) in session.execute("SELECT name FROM pg_available_extensions")}
    listed = set(re.findall(r"^(`btree_gin`.*?);", told, re.MULTILINE | re.DOTALL)[0].replace("`", "").split())
    assert {name.strip(",") for name in listed} | {"plpgsql"} == trusted
    assert {"earthdistance", "bloom", "moddatetime", "pgstattuple", "pgrowlocks", "xml2", "amcheck"} <= every
    for name in ("earthdistance", "bloom", "moddatetime", "pgstattuple", "pgrowlocks", "xml2", "amcheck", "dblink"):
        assert f"`{name}`" in refused


def test_text_is_ordered_by_code_point_and_cased_by_unicode(dataplane, shop):
    with dataplane.connect(shop.name, shop.password) as session:
        assert session.execute("SELECT array_agg(w ORDER BY w) FROM unnest('{z,ä,a,Z}'::text[]) AS w").fetchone() == (
            ["Z", "a", "z", "ä"],
        )
        assert session.execute("SELECT upper('ärger'), lower('ÄRGER')").fetchone() == ("ÄRGER", "ärger")
        locale = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = current_database()"
        assert session.execute(locale).fetchone() == ("b", "C.UTF-8")
