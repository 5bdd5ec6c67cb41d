"""What the roles render where no test can install the real thing."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
import yaml

ROLES = Path(__file__).parents[2] / "roles"


def test_the_projects_repository_is_trusted_by_the_distributions_key() -> None:
    """Its packages cannot be fetched here; the file is what apt's own format says (sources.list(5))."""
    source = (ROLES / "postgres/templates/pgdg.sources.j2").read_text()
    facts = {"distribution_release": "trixie"}
    address = yaml.safe_load((ROLES / "postgres/defaults/main.yml").read_text())["postgres_pgdg_address"]
    text = jinja2.Template(source).render(ansible_facts=facts, postgres_pgdg_address=address)
    fields = dict(line.split(": ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert fields == {
        "Types": "deb",
        "URIs": "https://apt.postgresql.org/pub/repos/apt",
        "Suites": "trixie-pgdg",
        "Components": "main",
        "Signed-By": "/usr/share/postgresql-common/pgdg/apt.postgresql.org.asc",
    }


@pytest.mark.parametrize(
    ("memory_mb", "connections", "wal_mb", "buffers_mb"),
    [(1024, 200, 1024, 256), (8192, 512, 2048, 2048), (65536, 1000, 8192, 16384)],
)
def test_postgresql_is_sized_from_the_host(memory_mb: int, connections: int, wal_mb: int, buffers_mb: int) -> None:
    defaults = yaml.safe_load((ROLES / "postgres/defaults/main.yml").read_text())
    given = {"dbhost_service_manager": "systemd", "postgres_memory_mb": memory_mb}

    def of(name: str) -> int:
        return int(jinja2.Template(defaults[name]).render(given))

    assert of("postgres_max_connections") == connections
    assert of("postgres_max_wal_size_mb") == wal_mb
    assert of("postgres_shared_buffers_mb") == buffers_mb
    assert int(jinja2.Template(defaults["postgres_max_connections"]).render(dbhost_service_manager="supervisor")) == 400


@pytest.mark.parametrize("issuer", ["internal", "acme"])
@pytest.mark.parametrize("proxied", ["", "panel.example.net", "db1.example.net"])
def test_caddy_has_a_site_for_each_name_once(issuer: str, proxied: str) -> None:
    source = (ROLES / "caddy/templates/Caddyfile.j2").read_text()
    text = jinja2.Template(source).render(
        caddy_issuer=issuer,
        caddy_internal_lifetime="72h",
        caddy_acme_directory="https://ca.example.net/directory",
        caddy_acme_root_source="",
        caddy_acme_email="",
        caddy_certificate_name="db1.example.net",
        caddy_proxied_name=proxied,
        caddy_proxied_port=8000,
    )
    assert text.count("\ndb1.example.net {") == 1
    assert text.count("\npanel.example.net {") == (proxied == "panel.example.net")
    assert ("reverse_proxy" in text) == bool(proxied)
    assert f"issuer {issuer}" in text
    assert "admin off" in text
    assert text.count("{") == text.count("}")
