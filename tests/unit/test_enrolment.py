"""What an enrolment adds to what the operator says of a host."""

from pathlib import Path

import pytest

from webapp.embedded import tls
from webapp.enrolment import enrol
from webapp.enrolment.surroundings import Surroundings
from webapp.services.host_rules import HostSpec


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    """An installation with an authority of its own."""
    folder = tmp_path / "tls"
    folder.mkdir()
    key, certificate = tls.authority("test")
    (folder / "ca.key").write_bytes(key)
    (folder / "ca.crt").write_bytes(certificate)
    return Surroundings(tmp_path, tmp_path / "worker", None)


def spec(**variables: str) -> HostSpec:
    return HostSpec("db9", "192.0.2.9", ("key",), variables=variables)


def test_a_host_gets_a_certificate_of_the_installations_own_authority(around: Surroundings) -> None:
    made = enrol.complete(around, spec(), "192.0.2.1")
    assert made.tls_root == "ca.crt"
    assert made.variables["agent_allowed_from"] == ["192.0.2.1"]
    assert Path(made.variables["pgbouncer_tls_cert_source"]).read_text().startswith("-----BEGIN CERTIFICATE")


@pytest.mark.parametrize("brought", [{"pgbouncer_tls_cert_source": "/x.crt"}, {"caddy_issuer": "acme"}])
def test_an_operator_brings_another_certificate(around: Surroundings, brought: dict[str, str]) -> None:
    """Also by Caddy: a copied certificate would come before the one that it renews."""
    made = enrol.complete(around, spec(**brought), "192.0.2.1")
    assert made.tls_root == "system"
    assert made.variables == {"agent_allowed_from": ["192.0.2.1"], **brought}
