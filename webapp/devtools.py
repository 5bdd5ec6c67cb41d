"""For developers of DBHost: the checks of `lint` and the tiers of `test`, as one place that CI and people share."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import click

from webapp.embedded import packages, pgbouncer
from webapp.embedded.progress import Progress
from webapp.fleet import system_packages

CHECKOUT = Path(__file__).parent.parent
PYTHON = sys.executable
PGBOUNCER = "DBHOST_PGBOUNCER_BIN"
SCENARIO_HOME = "DBHOST_SCENARIO_HOME"
SCENARIOS = ("host", "databases", "faults")
FLEET = "tests/fleet"
FAST = "not stack and not browser and not slow"

LINTS: dict[str, list[str]] = {
    "ruff": [PYTHON, "-m", "ruff", "check", "."],
    "format": [PYTHON, "-m", "ruff", "format", "--check", "."],
    "types": [PYTHON, "-m", "mypy"],
    "imports": [str(Path(PYTHON).parent / "lint-imports"), "--no-cache"],
    "security": [PYTHON, "-m", "bandit", "-q", "-c", "pyproject.toml", "-r", "webapp", "agent_modules"],
    "yaml": [PYTHON, "-m", "yamllint", "--strict", "."],
    "ansible": [str(Path(PYTHON).parent / "ansible-lint"), "--offline", "--strict"],
}


def environment() -> dict[str, str]:
    """The environment of a check: nothing of a running installation leaks in, and the venv's programs come first."""
    foreign = [name for name in os.environ if name.startswith(("DBHOST_", "DATABASE_URL")) and name != PGBOUNCER]
    # Without files of compiled code, each of some hundred processes compiles all anew: half of the start of a pytest.
    foreign.append("PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    kept["PATH"] = f"{Path(PYTHON).parent}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept | {"PYTHONPATH": str(CHECKOUT), "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg")}


@dataclass(frozen=True)
class Outcome:
    """How one check went."""

    name: str
    code: int
    seconds: float

    @property
    def ok(self) -> bool:
        return self.code == 0

    def __str__(self) -> str:
        word = click.style("ok", fg="green") if self.ok else click.style(f"failed ({self.code})", fg="red")
        return f"── {self.name}: {word}, {self.seconds:.0f} s"


def step(name: str, command: list[str], more: Mapping[str, str] = MappingProxyType({})) -> Outcome:
    """Run one check, say how it went and how long it took."""
    click.secho(f"── {name}", bold=True)
    started = time.monotonic()
    code = subprocess.run(command, cwd=CHECKOUT, env=environment() | dict(more), check=False).returncode
    outcome = Outcome(name, code, time.monotonic() - started)
    click.echo(outcome)
    return outcome


def quietly(name: str, command: list[str], more: Mapping[str, str] = MappingProxyType({})) -> Outcome:
    """Run one check beside others: what it prints comes whole, at its end."""
    started = time.monotonic()
    pipe, variables = subprocess.PIPE, environment() | dict(more)
    ended = subprocess.run(
        command, cwd=CHECKOUT, env=variables, stdout=pipe, stderr=subprocess.STDOUT, text=True, check=False
    )
    outcome = Outcome(name, ended.returncode, time.monotonic() - started)
    click.echo(f"{ended.stdout}{outcome}")
    return outcome


def lint() -> bool:
    """Style, types, import contracts, security, YAML and Ansible; all run, also after a failure, beside each other."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(quietly, LINTS, LINTS.values()))
    return all(outcome.ok for outcome in outcomes)


def pytest(*arguments: str) -> list[str]:
    return [PYTHON, "-m", "pytest", "--durations=10", "--durations-min=1", *arguments]


def processes() -> tuple[str, str]:
    """One process more than there are cores: tests wait for others about a third of their time."""
    return "-n", str(min(6, (os.cpu_count() or 1) + 1))


def fast() -> list[Outcome]:
    return [step("fast tests", pytest(*processes(), "--dist", "worksteal", "-m", FAST))]


def slow() -> list[Outcome]:
    """Stacks and sites, each in one process (tests/support/distribution.py)."""
    together = ["--dist", "loadscope", "--no-loadscope-reorder"]
    command = pytest(*processes(), *together, "-m", "slow or browser or stack", "--ignore", FLEET)
    return [step("stacks, browser and slow tests", command)]


def everything() -> list[Outcome]:
    """Hosts boot, install and answer by SSH: most of that is waiting, in which the other tests can run."""
    lanes = [lambda: [*fast(), *slow()]]
    if fleet_is_possible():
        system_packages.ensure_installed(click.echo)
        lanes += HOST_LANES
    with ThreadPoolExecutor(len(lanes)) as pool:
        return [outcome for outcomes in pool.map(lambda lane: lane(), lanes) for outcome in outcomes]


def faults(operations: int, seed: int) -> Outcome:
    """Random changes by many clients while the stack is being broken."""
    more = {"DBHOST_TEST_OPERATIONS": str(operations), "DBHOST_TEST_SEED": str(seed)}
    return step(f"{operations} operations under faults, seed {seed}", pytest("-rP", "tests/faults"), more)


def linted() -> list[Outcome]:
    started = time.monotonic()
    return [Outcome("lint", int(not lint()), time.monotonic() - started)]


def test(tier: str, operations: int, seeds: tuple[int, ...]) -> bool:
    """Tier `fast` (lint and the fast tests), `all`, `scenarios`, or `faults`, with so many operations for each seed.

    The fast ones come first: a mistake is told early.
    """
    if tier == "scenarios":
        return fleet_is_possible() and told([lambda: scenarios(SCENARIOS, step)])
    need_pgbouncer()
    if tier == "faults":
        return told([lambda: [faults(operations, seed) for seed in seeds]])
    if tier == "all":
        need_browser()
        return told([linted, everything])
    return told([linted, fast])


def told(steps: list[Callable[[], list[Outcome]]]) -> bool:
    """Run all, also after a failure, and say in the end how each went."""
    outcomes = [outcome for check in steps for outcome in check()]
    click.secho("── altogether", bold=True)
    click.echo("\n".join(map(str, outcomes)))
    return all(outcome.ok for outcome in outcomes)


def scenarios(names: tuple[str, ...], run: Callable[..., Outcome]) -> list[Outcome]:
    """Molecule scenarios, one after the other: real hosts, made by the production roles."""
    with tempfile.TemporaryDirectory(prefix="dbhost-scenarios-") as home:
        return [scenario(name, Path(home), run) for name in names]


def scenario(name: str, home: Path, run: Callable[..., Outcome]) -> Outcome:
    """One scenario in a folder of this run's own, so that molecule takes nothing of an earlier one for granted."""
    own = {SCENARIO_HOME: str(home), "MOLECULE_EPHEMERAL_DIRECTORY": str(home / f"{name}-molecule")}
    return run(f"scenario {name}", [str(Path(PYTHON).with_name("molecule")), "test", "-s", name], own)


# Beside each other, the longer ones first. What a fleet leaves behind is told from what belongs to another.
HOST_LANES: tuple[Callable[[], list[Outcome]], ...] = (
    lambda: scenarios(("host", "databases"), quietly),
    lambda: [*scenarios(("faults",), quietly), quietly("fleet tests", pytest("-m", "slow", FLEET))],
)


def fleet_is_possible() -> bool:
    """Hosts need root on Debian or Ubuntu; elsewhere the run says that it leaves them out."""
    possible = os.geteuid() == 0 and shutil.which("apt-get") is not None
    if not possible:
        click.secho("── scenarios: left out, since hosts need root on Debian or Ubuntu", fg="yellow")
    return possible


def need_pgbouncer() -> None:
    """PostgreSQL's libraries and a PgBouncer for the tests of the data plane, had as `up` has them."""
    packages.install_missing()
    if sentence := packages.provide_for_extensions():
        click.secho(f"── {sentence}", fg="yellow")
    # Beside the interpreter, since this user's cache may be closed to the OS users that the tests run it as.
    target = Path(PYTHON).with_name("pgbouncer")
    if not pgbouncer.is_good(target):
        pgbouncer.place(pgbouncer.available(Progress()), target)
    os.environ[PGBOUNCER] = str(target)


def need_browser() -> None:
    """Chromium for the browser tests: installed where this is possible, asked for where it is not."""
    if shutil.which("chromium"):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise click.ClickException("The browser tests need Chromium: install the package `chromium`.")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-q"], env=quiet, check=True)
    subprocess.run(["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"], env=quiet, check=True)
