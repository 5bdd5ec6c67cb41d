"""What an owner may create in a database of their own, and what that shows of others."""

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
