"""The steps from a machine with SSH to a host that new databases go to. Run again, they go on from what is there."""

import dataclasses
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy.orm import Session

from webapp import inventory_files, plays
from webapp.config import settings
from webapp.embedded.progress import Progress
from webapp.enrolment import login
from webapp.enrolment.errors import EnrolmentError
from webapp.enrolment.login import Operator
from webapp.enrolment.surroundings import Surroundings
from webapp.fleet import certificates
from webapp.models import Host
from webapp.plays import Play, PlayFailed
from webapp.services import host_changes, hosts
from webapp.services.actors import Actor
from webapp.services.errors import ServiceError
from webapp.services.host_keys import known_hosts_name
from webapp.services.host_rules import HostSpec, check_spec
from webapp.services.inventory import Login
from webapp.services.reports import Report
from webapp.worker import environment, task_count

CA_NAME = "ca.crt"
SYSTEM_ROOTS = "system"
CERTIFICATE = "pgbouncer_tls_cert_source"
CERTIFICATE_KEY = "pgbouncer_tls_key_source"
CADDY = "caddy_issuer"
REPORT = re.compile(r"^ok: \[(?P<host>[^\]]+)\] => (?P<result>\{.*\})$")


def enrol(
    session: Session, actor: Actor, around: Surroundings, operator: Operator, spec: HostSpec, progress: Progress
) -> Host:
    """Make the machine a host. Raises EnrolmentError that names the step; the host then takes no new databases."""
    check_spec(spec)
    with scratch(around) as folder:
        with step(progress, f"Log in to {spec.address} as {operator.user} and become root"):
            came_from = prove_login(operator, spec, folder)
        with step(progress, "Prepare the certificate and the host's row"):
            spec = complete(around, spec, came_from)
            host = host_changes.begin_enrolment(session, actor, spec)
            session.commit()
        with step(progress, "Set the host up (playbooks/host.yml)"):
            set_up(around, operator, host, folder, progress)
        with step(progress, "Prove its health as the worker sees it (playbooks/report.yml)"):
            prove(around, [host], folder / "agent", progress)
        with step(progress, "Let new databases go there"):
            host_changes.finish_enrolment(session, actor, host)
            session.commit()
    return host


@contextmanager
def step(progress: Progress, sentence: str) -> Iterator[None]:
    """One step of the enrolment; what goes wrong in it is said with its name."""
    try:
        with progress.step(sentence):
            yield
    except (ServiceError, PlayFailed, EnrolmentError) as error:
        why = error.message if isinstance(error, EnrolmentError) else str(error)
        next_step = "No new database goes to this host. Mend it and run the command again."
        raise EnrolmentError(f"The step “{sentence}” failed.\n{why}\n{next_step}") from None


@contextmanager
def scratch(around: Surroundings) -> Iterator[Path]:
    """A folder for inventories and pinned keys, which the worker's OS user may pass through."""
    with tempfile.TemporaryDirectory(prefix="dbhost-enrol-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        agent = folder / "agent"
        agent.mkdir(mode=0o700)
        if around.agent_user is not None:
            shutil.chown(agent, around.agent_user)
        yield folder


def prove_login(operator: Operator, spec: HostSpec, folder: Path) -> str:
    """The address that the host sees this machine come from."""
    known_hosts = folder / "operator" / inventory_files.KNOWN_HOSTS
    name = known_hosts_name(spec.address, spec.ssh_port)
    inventory_files.replace(known_hosts, "".join(f"{name} {key}\n" for key in spec.host_keys))
    return login.prove(operator, spec.address, spec.ssh_port, known_hosts)


def complete(around: Surroundings, spec: HostSpec, came_from: str) -> HostSpec:
    """*spec* with what this installation adds: where the worker comes from, whether its backups are encrypted, and a
    certificate of its own authority, unless the operator brings one or has the host get its own.
    """
    added: dict[str, Any] = {"agent_allowed_from": [came_from]}
    if settings().backup_age_recipients:
        added["agent_backups_encrypted"] = True
    is_ours = around.authority is not None and not {CERTIFICATE, CADDY} & set(spec.variables)
    if around.authority is not None and is_ours:
        names = list(dict.fromkeys([spec.name, spec.address, spec.public_host or spec.address]))
        certificates.ensure_one(around.authority, around.certificates, spec.name, names)
        added[CERTIFICATE] = str(around.certificates / f"{spec.name}.crt")
        added[CERTIFICATE_KEY] = str(around.certificates / f"{spec.name}.key")
    root = spec.tls_root or (CA_NAME if is_ours else SYSTEM_ROOTS)
    return dataclasses.replace(spec, tls_root=root, variables={**added, **spec.variables})


def set_up(around: Surroundings, operator: Operator, host: Host, folder: Path, progress: Progress) -> None:
    """Run host.yml with the operator's rights."""
    place = folder / "operator"
    way_in = Login(operator.user, place / inventory_files.KNOWN_HOSTS, operator.key_file, become=True)
    listed = inventory_files.write(place, [host], way_in, around.worker_key)
    play = Play("host", listed, [host.name], around.log_file("host-add"), environment.of_playbooks(os.environ))
    plays.run(play, progress.counted(task_count.count(environment.PLAYBOOK.with_name("host.yml"), environment.ROLES)))


def prove(around: Surroundings, listed: Sequence[Host], folder: Path, progress: Progress) -> None:
    """Have each host report by the worker's own way in, as its OS user. Raises EnrolmentError when one is not well."""
    made = inventory_files.for_agent(folder, listed, around.worker_key)
    names = [host.name for host in listed]
    variables = around.environment(folder) | {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"}
    play = Play("report", made, names, around.log_file("host-report"), variables, around.agent_user, ("-v",))
    reports = read_reports(plays.run(play, progress.detail))
    for name in names:
        require_well(name, reports.get(name))


def read_reports(lines: Sequence[str]) -> dict[str, Report]:
    """The reports in the output of report.yml, by host."""
    found: dict[str, Report] = {}
    for line in lines:
        if match := REPORT.match(line):
            try:
                found[match["host"]] = Report.model_validate(json.loads(match["result"]).get("report"))
            except (ValidationError, ValueError):
                continue
    return found


def require_well(name: str, report: Report | None) -> None:
    """PostgreSQL answers, and PgBouncer shows its certificate: its own figures may be closed to the agent."""
    if report is None:
        raise EnrolmentError(f"{name} gave no report.")
    wrong = [f"{problem.part}: {problem.message}" for problem in report.problems if problem.part != "pgbouncer"]
    if wrong or report.postgres is None or report.certificate_expires_at is None:
        raise EnrolmentError(f"{name} is not well. {' '.join(wrong) or 'PostgreSQL or PgBouncer does not answer.'}")


def prove_and_activate(
    session: Session, actor: Actor, around: Surroundings, listed: Sequence[Host], progress: Progress
) -> None:
    """The end of an enrolment, for hosts that somebody else has set up."""
    waiting = [host for host in listed if host.state == "enrolling"]
    if not waiting:
        return
    with scratch(around) as folder:
        prove(around, waiting, folder / "agent", progress)
    for host in waiting:
        host_changes.finish_enrolment(session, actor, host)


def known(session: Session, name: str) -> Host | None:
    """The host of this name, if there is one."""
    found = [host for host in hosts.reached_by_ssh(session) if host.name == name]
    return found[0] if found else None
