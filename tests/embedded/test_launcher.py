"""The launcher, with a Python that only says what it was asked: no network, no real environment."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
# Makes an environment of itself, accepts every install, and prints the command it is asked to run.
FAKE_PYTHON = """#!/bin/sh
echo "$*" >>"$FAKE_LOG"
case "$1 $2" in
"-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
"-m pip") if [ -n "${FAKE_PIP_FAILS-}" ]; then exit 1; fi ;;
"-P -m") shift 3; echo "ran $*"; pwd >"$FAKE_LOG.folder" ;;
"--version ") echo "Python 3.14.9" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "check out"
    folder.mkdir()
    for name in ("dbhost", "requirements.txt", "requirements-dev.txt", "requirements-uv.txt"):
        shutil.copy(CHECKOUT / name, folder / name)
    python = tmp_path / "home/.asdf/installs/python/3.14.9/bin/python3.14"
    python.parent.mkdir(parents=True)
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    return folder


def dbhost(
    checkout: Path, *arguments: str, program: Path | None = None, **more: str
) -> subprocess.CompletedProcess[str]:
    home = checkout.parent / "home"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "FAKE_LOG": str(checkout.parent / "log"), **more}
    return subprocess.run(
        [program or checkout / "dbhost", *arguments], env=env, cwd="/", capture_output=True, text=True, check=False
    )


def asked(checkout: Path) -> list[str]:
    return (checkout.parent / "log").read_text().splitlines()


def test_it_finds_a_python_of_a_version_manager_without_its_shims(checkout: Path) -> None:
    first = dbhost(checkout, "status", "--json")
    assert first.stdout == "ran status --json\n", first.stderr
    assert ".asdf/installs/python/3.14.9" in first.stderr


def test_the_command_runs_where_the_person_is_also_after_an_install(checkout: Path) -> None:
    for _ in range(2):
        dbhost(checkout, "release", "build")
        assert (checkout.parent / "log.folder").read_text() == "/\n"


def test_a_second_time_it_installs_nothing(checkout: Path) -> None:
    dbhost(checkout, "status")
    before = len(asked(checkout))
    second = dbhost(checkout, "status")
    assert (second.stdout, second.stderr) == ("ran status\n", "")
    assert len(asked(checkout)) == before + 1


def test_changed_requirements_are_installed(checkout: Path) -> None:
    dbhost(checkout, "status")
    (checkout / "requirements.txt").write_text("new==1\n")
    assert "Installing the Python packages" in dbhost(checkout, "status").stderr


def test_tests_need_the_development_requirements(checkout: Path) -> None:
    dbhost(checkout, "status")
    assert "requirements-dev.txt" in dbhost(checkout, "lint").stderr
    assert dbhost(checkout, "lint").stderr == ""


def test_an_install_that_failed_is_tried_again(checkout: Path) -> None:
    failed = dbhost(checkout, "status", FAKE_PIP_FAILS="1")
    assert failed.returncode == 1
    assert "could not be installed" in failed.stderr
    assert dbhost(checkout, "status").stdout == "ran status\n"


def test_it_works_through_a_symlink_of_a_symlink(checkout: Path) -> None:
    one, two = checkout.parent / "one", checkout.parent / "two"
    one.symlink_to(checkout / "dbhost")
    two.symlink_to("one")
    assert dbhost(checkout, "status", program=two).stdout == "ran status\n"


def test_an_environment_whose_python_is_gone_is_made_anew(checkout: Path) -> None:
    dbhost(checkout, "status")
    python = checkout / ".venv/bin/python"
    python.unlink()
    python.symlink_to("/nonexistent/python")
    assert dbhost(checkout, "status").stdout == "ran status\n"


def test_two_at_once_make_one_environment(checkout: Path) -> None:
    home = checkout.parent / "home"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home), "FAKE_LOG": str(checkout.parent / "log")}
    both = [
        subprocess.Popen([checkout / "dbhost", "status"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    assert [process.communicate()[0] for process in both] == [b"ran status\n"] * 2
    assert len([line for line in asked(checkout) if line.startswith("-m venv")]) == 1


def test_a_python_that_does_not_do_is_refused_with_what_to_do(checkout: Path) -> None:
    refused = dbhost(checkout, "status", DBHOST_PYTHON="/bin/false")
    assert refused.returncode == 1
    assert "DBHOST_PYTHON" in refused.stderr


def test_it_is_executable_and_plain_sh() -> None:
    assert os.access(CHECKOUT / "dbhost", os.X_OK)
    assert (CHECKOUT / "dbhost").read_text().startswith("#!/bin/sh\n")
