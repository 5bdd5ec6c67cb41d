"""What `up` tells a person when the stack runs."""

from webapp.embedded.up import Started


def text(started: Started) -> str:
    """The address, the first admin, and the three commands to a database."""
    password = f"  password {started.admin_password} (shown once)" if started.admin_password else ""
    pooler = started.pgbouncer
    hosts = "".join(f"\n  host       {host['name']} at {host['address']}" for host in started.hosts)
    return f"""
DBHost is ready: {started.url}
  admin      {started.admin_email}{password}
  PgBouncer  {pooler["host"]}:{pooler["port"]}, direct {pooler["directPort"]}, CA certificate {started.ca_file}{hosts}

To a database:
  ./dbhost user create you@example.org
  KEY=$(./dbhost api-key create --user you@example.org)
  curl -sX POST {started.url}/api/v1/databases -H "Authorization: Bearer $KEY" \\
       -H 'Content-Type: application/json' -d '{{"name": "first", "displayName": "First"}}'
"""
