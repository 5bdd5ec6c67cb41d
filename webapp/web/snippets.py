"""How each client takes the connection: a snippet for every driver that the dashboard and docs/connecting.md name.

A private authority's certificate is the file `ca.crt`, which the reader saved beside the program: never a path of ours.
Each value is quoted as its language has it, whatever is in it.
"""

from __future__ import annotations

import ipaddress
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

CA_FILE = "ca.crt"
PUBLIC_AUTHORITY = "system"


@dataclass(frozen=True)
class Connection:
    """What a client has to know. *root*: None (nothing to verify by), `system`, or a private authority's file."""

    host: str
    port: int
    direct_port: int
    database: str
    user: str
    password: str = field(repr=False)
    root: str | None
    is_direct: bool = False

    @property
    def is_private(self) -> bool:
        return self.root not in (None, PUBLIC_AUTHORITY)

    @property
    def shown_port(self) -> int:
        return self.direct_port if self.is_direct else self.port

    @property
    def sslmode(self) -> str:
        return "require" if self.root is None else "verify-full"

    def tls(self, *, system: bool = True) -> dict[str, str]:
        """libpq's words; not every client knows `sslrootcert=system`, and those without it take it by themselves."""
        if self.is_private:
            return {"sslmode": self.sslmode, "sslrootcert": CA_FILE}
        named = {"sslrootcert": PUBLIC_AUTHORITY} if self.root and system else {}
        return {"sslmode": self.sslmode, **named}

    def url(
        self, scheme: str = "postgresql", query: Mapping[str, str] | None = None, *, port: int | None = None
    ) -> str:
        address = f"[{self.host}]" if ":" in self.host else self.host
        login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        base = f"{scheme}://{login}@{address}:{port or self.shown_port}/{quote(self.database, safe='')}"
        return f"{base}?{urlencode(query)}" if query else base

    def libpq_url(self, scheme: str = "postgresql") -> str:
        return self.url(scheme, self.tls())


@dataclass(frozen=True)
class Snippet:
    id: str
    label: str
    text: str


def literal(value: str) -> str:
    """A string of Python, JavaScript, Go, Rust, C# or YAML."""
    return json.dumps(value, ensure_ascii=False)


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def psql(c: Connection) -> str:
    return f"psql {shlex.quote(c.libpq_url())}"


def psycopg(c: Connection) -> str:
    return f"""# pip install "psycopg[binary]"
import psycopg

with psycopg.connect({literal(c.libpq_url())}) as connection:
    print(connection.execute("select version()").fetchone())"""


def sqlalchemy(c: Connection) -> str:
    return f"""# pip install sqlalchemy "psycopg[binary]"
from sqlalchemy import create_engine, text

engine = create_engine({literal(c.libpq_url("postgresql+psycopg"))})
with engine.connect() as connection:
    print(connection.execute(text("select version()")).scalar_one())
engine.dispose()"""


def _python_tls(c: Connection) -> tuple[str, str]:
    """What to import, and the value of `ssl=`, for a client that reads no libpq words."""
    if c.root is None:
        return "", '"require"'
    cafile = f'cafile="{CA_FILE}"' if c.is_private else ""
    return "import ssl\n", f"ssl.create_default_context({cafile})"


def sqlalchemy_asyncpg(c: Connection) -> str:
    imports, tls = _python_tls(c)
    return f"""# pip install sqlalchemy asyncpg
import asyncio
{imports}
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

engine = create_async_engine({literal(c.url("postgresql+asyncpg"))}, connect_args={{"ssl": {tls}}})


async def main():
    async with engine.connect() as connection:
        print(await connection.scalar(text("select version()")))
    await engine.dispose()


asyncio.run(main())"""


def alembic(c: Connection) -> str:
    direct = c.url("postgresql+psycopg", c.tls(), port=c.direct_port)
    return f"""# alembic.ini: migrations take the direct door; each percent sign is doubled here
sqlalchemy.url = {direct.replace("%", "%%")}"""


def asyncpg(c: Connection) -> str:
    imports, tls = _python_tls(c)
    return f"""# pip install asyncpg
import asyncio
{imports}
import asyncpg


async def main():
    connection = await asyncpg.connect({literal(c.url())}, ssl={tls})
    print(await connection.fetchval("select version()"))
    await connection.close()


asyncio.run(main())"""


def django(c: Connection) -> str:
    cursors = (
        "" if c.is_direct else '        "DISABLE_SERVER_SIDE_CURSORS": True,  # the pooler works per transaction\n'
    )
    return f"""# settings.py
DATABASES = {{
    "default": {{
        "ENGINE": "django.db.backends.postgresql",
        "NAME": {literal(c.database)},
        "USER": {literal(c.user)},
        "PASSWORD": {literal(c.password)},
        "HOST": {literal(c.host)},
        "PORT": "{c.shown_port}",
        "OPTIONS": {json.dumps(c.tls())},
{"" if c.is_direct else cursors}    }}
}}"""


def _node_tls(c: Connection) -> tuple[str, str]:
    """What to import, and the value of `ssl`. Node compares an address with `localhost` unless told."""
    if c.root is None:
        return "", "{ rejectUnauthorized: false }"
    address = f", host: {literal(c.host)}" if is_address(c.host) else ""
    if c.is_private:
        return 'import fs from "node:fs";\n', f'{{ ca: fs.readFileSync("{CA_FILE}", "utf8"){address} }}'
    return "", f"{{ rejectUnauthorized: true{address} }}"


def node(c: Connection) -> str:
    imports, tls = _node_tls(c)
    return f"""// npm install pg
{imports}import pg from "pg";

const pool = new pg.Pool({{ connectionString: {literal(c.url())}, ssl: {tls} }});
console.log((await pool.query("select version()")).rows[0]);
await pool.end();"""


def postgres_js(c: Connection) -> str:
    imports, tls = _node_tls(c)
    return f"""// npm install postgres
{imports}import postgres from "postgres";

const sql = postgres({literal(c.url())}, {{ ssl: {tls} }});
console.log(await sql`select version()`);
await sql.end();"""


def prisma(c: Connection) -> str:
    imports, tls = _node_tls(c)
    strict = {"sslaccept": "accept_invalid_certs" if c.root is None else "strict"}
    words = {"sslmode": "require", **({"sslcert": f"../{CA_FILE}"} if c.is_private else {}), **strict}
    return f"""# .env: queries go through the pooler, migrations past it
DATABASE_URL={literal(c.url(port=c.port))}
DIRECT_URL={literal(c.url(query=words, port=c.direct_port))}

// prisma.config.ts (Prisma 7; it has no directUrl: the client gets its address from the adapter)
import "dotenv/config";
import {{ defineConfig, env }} from "prisma/config";
export default defineConfig({{
  schema: "prisma/schema.prisma",
  datasource: {{ url: env("DIRECT_URL") }},
}});

// schema.prisma
datasource db {{
  provider = "postgresql"
}}

// the application: npm install @prisma/adapter-pg
{imports}import {{ PrismaPg }} from "@prisma/adapter-pg";
const adapter = new PrismaPg({{ connectionString: process.env.DATABASE_URL, ssl: {tls} }});
const prisma = new PrismaClient({{ adapter }});"""


def drizzle(c: Connection) -> str:
    imports, tls = _node_tls(c)
    return f"""// npm install drizzle-orm pg
{imports}import pg from "pg";
import {{ sql }} from "drizzle-orm";
import {{ drizzle }} from "drizzle-orm/node-postgres";

const pool = new pg.Pool({{ connectionString: {literal(c.url())}, ssl: {tls} }});
const db = drizzle(pool);
console.log((await db.execute(sql`select version()`)).rows[0]);
await pool.end();

// drizzle.config.ts: drizzle-kit takes the direct door
// dbCredentials: {{ url: {literal(c.url(port=c.direct_port))}, ssl: {tls} }}"""
