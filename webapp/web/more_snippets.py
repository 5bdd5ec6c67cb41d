"""Snippets of the languages beside Python and Node, and the list of all."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, urlencode

from webapp.web import snippets
from webapp.web.snippets import CA_FILE, Connection, Snippet, literal


def jdbc(c: Connection) -> str:
    address = f"[{c.host}]" if ":" in c.host else c.host
    factory = {} if c.is_private or c.root is None else {"sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory"}
    words = {"user": c.user, "password": c.password, **c.tls(system=False), **factory}
    url = f"jdbc:postgresql://{address}:{c.shown_port}/{quote(c.database, safe='')}?{urlencode(words, quote_via=quote)}"
    return f"""// org.postgresql:postgresql
try (var connection = java.sql.DriverManager.getConnection(
        {literal(url)})) {{
    System.out.println(connection.getMetaData().getDatabaseProductVersion());
}}"""


def pgx(c: Connection) -> str:
    return f"""// go get github.com/jackc/pgx/v5
conn, err := pgx.Connect(ctx, {literal(c.url(query=c.tls(system=False)))})
if err != nil {{
    return err
}}
defer conn.Close(ctx)"""


def single_quoted(value: str) -> str:
    """A string of PHP; the same escapes are those of a value in libpq's `key=value` form."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def libpq_value(value: str) -> str:
    """A value of libpq's `key=value` form."""
    return value if re.fullmatch(r"[\w.:-]+", value) else single_quoted(value)


def php(c: Connection) -> str:
    parts = {"host": c.host, "port": str(c.shown_port), "dbname": c.database, **c.tls()}
    dsn = "pgsql:" + ";".join(f"{key}={libpq_value(value)}" for key, value in parts.items())
    return f"""$pdo = new PDO(
    {single_quoted(dsn)},
    {single_quoted(c.user)},
    {single_quoted(c.password)},
);
echo $pdo->query('select version()')->fetchColumn();"""


def rails(c: Connection) -> str:
    words = "\n".join(f"  {key}: {literal(value)}" for key, value in c.tls().items())
    note = "" if c.is_direct else "  # give `rails db:migrate` the direct port\n"
    return f"""# config/database.yml
production:
  adapter: postgresql
  host: {literal(c.host)}
  port: {c.shown_port}
{note}  database: {literal(c.database)}
  username: {literal(c.user)}
  password: {literal(c.password)}
{words}
  advisory_locks: {"true" if c.is_direct else "false  # the pooler works per transaction"}"""


def sqlx(c: Connection) -> str:
    return f"""// cargo add sqlx --features postgres,runtime-tokio,tls-rustls-ring-native-roots
let pool = sqlx::PgPool::connect({literal(c.url(query=c.tls(system=False)))}).await?;"""


def ado_value(value: str) -> str:
    """A value of an ADO.NET connection string."""
    return '"' + value.replace('"', '""') + '"'


def npgsql(c: Connection) -> str:
    words = {"Host": c.host, "Port": str(c.shown_port), "Database": c.database, "Username": c.user}
    words |= {"Password": c.password, "SSL Mode": "Require" if c.root is None else "VerifyFull"}
    words |= {"Root Certificate": CA_FILE} if c.is_private else {}
    words |= {} if c.is_direct else {"No Reset On Close": "true"}
    text = ";".join(f"{key}={ado_value(value)}" for key, value in words.items())
    return f"""// dotnet add package Npgsql
await using var source = NpgsqlDataSource.Create({literal(text)});
await using var command = source.CreateCommand("select version()");
Console.WriteLine(await command.ExecuteScalarAsync());"""


ALL: tuple[tuple[str, str, Callable[[Connection], str]], ...] = (
    ("psql", "psql", snippets.psql),
    ("python", "psycopg", snippets.psycopg),
    ("sqlalchemy", "SQLAlchemy", snippets.sqlalchemy),
    ("sqlalchemy-asyncpg", "SQLAlchemy asyncpg", snippets.sqlalchemy_asyncpg),
    ("alembic", "Alembic", snippets.alembic),
    ("asyncpg", "asyncpg", snippets.asyncpg),
    ("django", "Django", snippets.django),
    ("node", "node-postgres", snippets.node),
    ("postgres-js", "postgres.js", snippets.postgres_js),
    ("prisma", "Prisma", snippets.prisma),
    ("drizzle", "Drizzle", snippets.drizzle),
    ("jdbc", "JDBC", jdbc),
    ("go", "Go", pgx),
    ("php", "PHP", php),
    ("rails", "Rails", rails),
    ("rust", "Rust", sqlx),
    ("dotnet", ".NET", npgsql),
)


def of(connection: Connection) -> list[Snippet]:
    """Every snippet, in the order in which they are offered."""
    return [Snippet(id, label, make(connection)) for id, label, make in ALL]
