"""System libraries: all that a tenant may ask PostgreSQL to load, not only what its programs start with."""

import pytest

from webapp.embedded import doctor, packages
from webapp.embedded.environment import StackError

LIBRARY = "libossp-uuid.so.16"


@pytest.fixture
def without_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which uuid-ossp's library is not installed."""
    present = packages.unresolved
    lacking = {"uuid-ossp.so": [LIBRARY]}
    monkeypatch.setattr(packages, "unresolved", lambda path: lacking.get(path.name) or present(path))


def test_the_modules_of_every_trusted_extension_are_looked_at() -> None:
    names = {path.stem for path in packages.extension_modules()}

    assert {"uuid-ossp", "pgcrypto", "pg_trgm", "hstore", "citext"} <= names
    assert not names & {"dblink", "file_fdw", "postgres_fdw"}


def test_every_library_they_need_has_a_package_or_is_there() -> None:
    assert set(packages.missing_for_extensions()) <= set(packages.LIBRARY_PACKAGES)


@pytest.mark.usefixtures("without_library")
def test_root_gets_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[tuple[str, ...]]] = []
    monkeypatch.setattr(packages, "install", asked.append)

    assert packages.provide_for_extensions() is None
    assert asked == [[("libossp-uuid16",)]]


@pytest.mark.usefixtures("without_library")
def test_an_ordinary_user_is_told_and_the_stack_starts_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    sentence = packages.provide_for_extensions()

    assert sentence is not None
    assert "uuid-ossp" in sentence
    assert "apt-get install libossp-uuid16" in sentence


@pytest.mark.usefixtures("without_library")
def test_no_way_to_install_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_names: list[tuple[str, ...]]) -> None:
        raise StackError("`apt-get update` failed")

    monkeypatch.setattr(packages, "install", refused)

    assert "`apt-get update` failed" in str(packages.provide_for_extensions())


@pytest.mark.usefixtures("without_library")
def test_doctor_says_what_is_missing() -> None:
    finding = doctor.extensions(None)  # type: ignore[arg-type]

    assert not finding.well
    assert LIBRARY in finding.found
