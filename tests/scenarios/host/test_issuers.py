"""A certificate by ACME: from a second Caddy on the host that speaks it as a server, as a public authority would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.fleet.support import on_host
from tests.scenarios import hosts
from tests.scenarios.host.test_host import play, wait
from tests.scenarios.plays import connect
from webapp.fleet import FleetHost

PLACE = "/var/tmp/authority"
DIRECTORY = "https://localhost:9443/acme/test/directory"
SERVER = f"""
{{
    admin off
    skip_install_trust
    auto_https disable_redirects
    storage file_system {PLACE}
    pki {{
        ca test {{
            name "Test"
        }}
    }}
}}
https://localhost:9443 {{
    tls {{
        issuer internal {{
            ca test
        }}
    }}
    acme_server {{
        ca test
    }}
}}
"""


@pytest.fixture(scope="module")
def host() -> FleetHost:
    return hosts.fleet("host").hosts()[0]


@pytest.fixture
def authority(host: FleetHost, tmp_path: Path) -> Iterator[Path]:
    """The root of an ACME server, which runs on the host."""
    on_host(host, f"sudo install -d {PLACE} && printf '%s' '{SERVER}' | sudo tee {PLACE}/Caddyfile")
    start = f"caddy run --adapter caddyfile --config {PLACE}/Caddyfile"
    on_host(host, f"sudo systemd-run --quiet --unit=acme --setenv=HOME={PLACE} {start}")
    try:
        wait(lambda: ":9443" in on_host(host, "ss -ltn"))
        root = tmp_path / "acme.crt"
        root.write_text(on_host(host, f"sudo cat {PLACE}/pki/authorities/test/root.crt") + "\n")
        yield root
    finally:
        on_host(host, f"sudo systemctl stop acme; sudo rm -r {PLACE}")


def test_clients_verify_the_host_by_the_authority_that_signed(host: FleetHost, authority: Path, tmp_path: Path) -> None:
    before = tmp_path / "before.crt"
    before.write_text(on_host(host, "cat /etc/dbhost/ca.crt") + "\n")
    issuer = ["-e", "caddy_issuer=acme", "-e", f"caddy_acme_directory={DIRECTORY}"]
    issuer += ["-e", f"caddy_acme_root_source={authority}"]
    done = play("host", *issuer)
    assert done.returncode == 0, done.stdout
    wait(lambda: "certificate verify failed" not in refusal(host, authority))
    assert "FATAL" in refusal(host, authority)
    assert "certificate verify failed" in refusal(host, before)


def refusal(host: FleetHost, authority: Path) -> str:
    """What a client without a database is told: by the host, or by its own library when that trusts it not."""
    with pytest.raises(psycopg.OperationalError) as error:
        connect(host.address, "nobody", "secret", authority)
    return str(error.value)
