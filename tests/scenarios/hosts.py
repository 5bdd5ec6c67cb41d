"""Make and remove the hosts of a molecule scenario: `python -m tests.scenarios.hosts create|destroy SCENARIO`."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import yaml

from tests.fleet.support import Machine
from tests.support.stack import CHECKOUT, Stack
from webapp import release
from webapp.fleet import Fleet, system_packages
from webapp.fleet.fleet import IMAGES_VARIABLE
from webapp.fleet.inventory import Login, as_yaml
from webapp.services.inventory import AGENT_USER

HOME_VARIABLE = "DBHOST_SCENARIO_HOME"
# Kept between runs: making the image takes longer than a scenario.
IMAGES = Path(os.environ.get(IMAGES_VARIABLE) or Path.home() / ".cache/dbhost/images")
FILES = {"machine": "machine.json", "ports": "ports.json"}


def home(scenario: str) -> Path:
    return Path(os.environ[HOME_VARIABLE]).resolve() / scenario


def fleet(scenario: str) -> Fleet:
    """Of the scenario `databases` alone the hosts are bare at first: there the roles install their packages."""
    return Fleet(home(scenario), images=IMAGES, with_packages=scenario != "databases")


def stack(scenario: str) -> Stack:
    """The stack of `up --hosts`, whose ports were noted when it was made."""
    ports = home(scenario).parent / f"{scenario}-{FILES['ports']}"
    made = Stack(home(scenario), json.loads(ports.read_text())) if ports.exists() else Stack(home(scenario))
    ports.write_text(json.dumps(made.ports))
    plans = CHECKOUT / "tests/scenarios" / scenario / "plans.toml"
    made.env |= {IMAGES_VARIABLE: str(IMAGES), "DBHOST_PLANS_FILE": str(plans), "DBHOST_SAMPLE_EVERY_S": "20"}
    return made


def create_host() -> None:
    """One host, a release for it, and an inventory that makes it the control plane's host too."""
    booted = fleet("host")
    [host] = booted.up(1)
    booted.write_inventory()
    packed = release.pack(home("host") / "build", "0.0.0", wheels=True)
    variables = {
        "caddy_issuer": "internal",
        "pgbouncer_tls_cert_source": "",
        "control_plane_release": str(packed),
        "control_plane_worker_key_source": str(booted.worker_key_file),
        "control_plane_known_hosts_source": str(booted.known_hosts_file),
        "agent_allowed_from": [host.address],
    }
    inventory = {"control_plane": {"hosts": {host.name: variables}}}
    (home("host") / "control.yml").write_text(yaml.safe_dump(inventory))


def create_databases() -> None:
    """Two hosts, and beside the administrator's inventory the agent's, as a worker would come in."""
    booted = fleet("databases")
    listed = booted.up(2)
    booted.write_inventory()
    agent = Login(AGENT_USER, False, booted.worker_key_file, booted.names.control_sockets)
    (home("databases") / "worker.yml").write_text(as_yaml(listed, agent, {}))


def create_faults() -> None:
    stack("faults").dbhost("up", "--hosts", "2", "--detach", timeout_s=900)


CREATE: dict[str, Callable[[], None]] = {
    "host": create_host,
    "databases": create_databases,
    "faults": create_faults,
}


def create(scenario: str) -> None:
    """Note what the machine is like, then make the hosts."""
    home(scenario).mkdir(parents=True, exist_ok=True)
    system_packages.ensure_installed(print)  # they stay, and so does what theirs leave in /run
    seen = {kind: sorted(names) for kind, names in asdict(Machine.now()).items()}
    (home(scenario).parent / f"{scenario}-{FILES['machine']}").write_text(json.dumps(seen))
    CREATE[scenario]()


def destroy(scenario: str) -> None:
    """Remove the hosts and everything of theirs; fails when a process, mount, namespace, bridge or cgroup is left."""
    gone = fleet(scenario)
    if scenario == "faults" and home(scenario).exists():
        stack(scenario).purge()
    else:
        gone.down(purge=True)
        shutil.rmtree(home(scenario), ignore_errors=True)
    noted = home(scenario).parent / f"{scenario}-{FILES['machine']}"
    if noted.exists():
        before = Machine(**{kind: frozenset(names) for kind, names in json.loads(noted.read_text()).items()})
        left = before.left_by(gone)
        assert left == [], left
    for name in FILES.values():
        (home(scenario).parent / f"{scenario}-{name}").unlink(missing_ok=True)


def main() -> None:
    verb, scenario = sys.argv[1:]
    started = time.monotonic()
    {"create": create, "destroy": destroy}[verb](scenario)
    print(f"{verb} {scenario}: {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
