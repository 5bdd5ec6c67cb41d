"""A renewed certificate is taken over when it is good, and only then."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.program_files import load
from webapp.embedded.tls import key_bytes

NAME = "db1.example.net"
DAY = timedelta(days=1)


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load(monkeypatch, "pgbouncer/files/follow_certificate.py")
    monkeypatch.setattr(module, "SETTLES_WITHIN_S", 0.0)
    monkeypatch.setattr(module.shutil, "chown", lambda *_: None)
    return module


@pytest.fixture
def given(tmp_path: Path) -> argparse.Namespace:
    (tmp_path / "served").mkdir()
    return argparse.Namespace(
        certificate=tmp_path / "new.crt",
        key=tmp_path / "new.key",
        folder=tmp_path / "served",
        name=NAME,
        owner="pgbouncer",
        unit=["dbhost-no-such.service"],
        port=[1],
    )


def issue(given: argparse.Namespace, *, name: str = NAME, begins: timedelta = -DAY, ends: timedelta = 9 * DAY) -> bytes:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 7, now + begins, now + ends)
    signed = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    content: bytes = signed.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    given.certificate.write_bytes(content)
    given.key.write_bytes(key_bytes(key))
    return content


def served(given: argparse.Namespace) -> bytes:
    return Path(given.folder, "server.crt").read_bytes()


def test_a_good_one_is_taken_once(program: ModuleType, given: argparse.Namespace) -> None:
    content = issue(given)
    assert program.follow(given) is True
    assert served(given) == content
    assert Path(given.folder, "server.key").stat().st_mode & 0o777 == 0o400
    assert program.follow(given) is False


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "db2.example.net"}, "mismatch"),
        ({"begins": -9 * DAY, "ends": -DAY}, "expired"),
        ({"begins": DAY}, "not yet valid"),
    ],
)
def test_a_bad_one_is_refused_and_the_old_one_stays(
    program: ModuleType, given: argparse.Namespace, values: dict[str, object], said: str
) -> None:
    old = issue(given)
    program.follow(given)
    issue(given, **values)  # type: ignore[arg-type]
    with pytest.raises(program.Refused, match=said):
        program.follow(given)
    assert served(given) == old


@pytest.mark.parametrize("broken", ["certificate", "key"])
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_missing_or_broken_file_is_refused(
    program: ModuleType, given: argparse.Namespace, broken: str, content: bytes | None
) -> None:
    old = issue(given)
    program.follow(given)
    issue(given)
    path: Path = getattr(given, broken)
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(program.Refused):
        program.follow(given)
    assert served(given) == old


def test_another_certificates_key_is_refused(program: ModuleType, given: argparse.Namespace) -> None:
    issue(given)
    kept = given.key.read_bytes()
    issue(given)
    given.key.write_bytes(kept)
    with pytest.raises(program.Refused, match="KEY_VALUES_MISMATCH"):
        program.follow(given)


def test_one_at_its_end_is_taken_and_told(program: ModuleType, given: argparse.Namespace) -> None:
    content = issue(given, begins=-9 * DAY, ends=DAY)
    with pytest.raises(program.Refused, match="nothing has renewed it"):
        program.follow(given)
    assert served(given) == content


def test_the_problem_is_left_for_the_report_and_taken_away(
    program: ModuleType, given: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "arguments", lambda: given)
    assert program.main() == 1
    assert "new.crt cannot be read" in Path(given.folder, "problem").read_text()
    issue(given)
    assert program.main() == 0
    assert not Path(given.folder, "problem").exists()
