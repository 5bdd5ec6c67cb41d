"""What control_plane.yml tells of the inventory's hosts: by which authority their clients verify them."""

import json
from typing import Any

import pytest
from jinja2 import Environment

from tests.support.stack import CHECKOUT

TEMPLATE = CHECKOUT / "roles/control_plane/templates/hosts.json.j2"


def listed(own: dict[str, Any], authority: str = "", runs_on: str = "db1") -> dict[str, Any]:
    """What the template says of one host `db1`, in a run for the control plane on *runs_on*."""
    environment = Environment(trim_blocks=True, autoescape=False)  # noqa: S701 - JSON, and as Ansible renders it
    environment.filters["to_json"] = json.dumps
    said = environment.from_string(TEMPLATE.read_text()).render(
        control_plane_hosts=["db1"],
        control_plane_ca_source=authority,
        hostvars={"db1": {"pgbouncer_public_host": "db1.example.net", **own}},
        inventory_hostname=runs_on,
    )
    [host] = json.loads(said)
    return dict(host)


def test_a_host_is_listed_as_clients_reach_it() -> None:
    assert listed({}) == {
        "name": "db1",
        "address": "db1.example.net",
        "port": 6432,
        "direct_port": 6433,
        "tls_root": "",
    }
    assert listed({"pgbouncer_port": "7432"})["port"] == 7432


@pytest.mark.parametrize(
    ("own", "authority", "runs_on", "root"),
    [
        ({"caddy_issuer": "acme"}, "", "db1", "system"),
        ({"caddy_issuer": "acme"}, "tls/ca.crt", "db1", "system"),
        ({"caddy_issuer": "acme", "caddy_acme_root_source": "tls/ca.crt"}, "tls/ca.crt", "db2", "ca.crt"),
        ({"caddy_issuer": "acme", "caddy_acme_root_source": "tls/ca.crt"}, "", "db1", ""),
        ({"pgbouncer_tls_cert_source": "db1.crt"}, "", "db1", "system"),
        ({"pgbouncer_tls_cert_source": "db1.crt", "caddy_issuer": "internal"}, "tls/ca.crt", "db1", "ca.crt"),
        ({"caddy_issuer": "internal"}, "", "db1", "ca.crt"),
        ({"caddy_issuer": "internal"}, "", "db2", ""),
        ({"caddy_issuer": "internal"}, "tls/ca.crt", "db1", ""),
        ({"pgbouncer_tls_follow_cert": "/etc/letsencrypt/db1.crt"}, "", "db1", ""),
        ({"caddy_issuer": "internal", "pgbouncer_tls_root": "system"}, "", "db2", "system"),
    ],
)
def test_clients_verify_it_by_the_authority_of_its_certificate(
    own: dict[str, Any], authority: str, runs_on: str, root: str
) -> None:
    assert listed(own, authority, runs_on)["tls_root"] == root
