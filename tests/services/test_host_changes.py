"""What an operator changes about hosts."""

import base64
import os
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from webapp.models import AuditEvent, Database, Host, Operation
from webapp.services import databases, host_changes, hosts
from webapp.services.actors import SYSTEM, Actor
from webapp.services.errors import Conflict, HostNotFound, HostUnavailable, NameTaken, ValidationFailed
from webapp.services.host_keys import check_key, fingerprint
from webapp.services.host_rules import HostSpec


def make_key() -> str:
    """An ed25519 public key as a .pub file has it."""
    kind = b"ssh-ed25519"
    blob = len(kind).to_bytes(4) + kind + (32).to_bytes(4) + os.urandom(32)
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} somebody@somewhere"


KEY = make_key()


def spec(name: str = "db9", address: str = "192.0.2.9", **more: Any) -> HostSpec:
    return HostSpec(name, address, (KEY,), **more)


def actions(session: Session) -> list[str]:
    return list(session.scalars(select(AuditEvent.action).order_by(AuditEvent.id)))


def test_an_enrolment_begins_out_of_placement_and_ends_in_it(session: Session) -> None:
    host = host_changes.begin_enrolment(session, SYSTEM, spec(region="eu-1", capacity=7))
    assert (host.state, host.public_host, host.capacity, host.region) == ("enrolling", "192.0.2.9", 7, "eu-1")
    assert host.host_keys == [" ".join(KEY.split()[:2])]
    with pytest.raises(HostUnavailable):
        hosts.place(session)
    assert host_changes.finish_enrolment(session, SYSTEM, host)
    assert hosts.place(session) is host
    assert actions(session) == ["host.add", "host.enrol"]


def test_an_enrolment_again_changes_what_is_said_and_keeps_what_was_drained(session: Session) -> None:
    host = host_changes.begin_enrolment(session, SYSTEM, spec())
    host_changes.finish_enrolment(session, SYSTEM, host)
    assert host_changes.begin_enrolment(session, SYSTEM, spec(public_host="db9.example.net")) is host
    assert (host.state, host.public_host) == ("enrolling", "db9.example.net")
    host_changes.finish_enrolment(session, SYSTEM, host)
    host_changes.set_state(session, SYSTEM, host, "draining")
    host_changes.begin_enrolment(session, SYSTEM, spec(public_host="db9.example.net"))
    assert not host_changes.finish_enrolment(session, SYSTEM, host)
    assert host.state == "draining"


def test_another_key_is_never_pinned_by_the_way(session: Session) -> None:
    host_changes.begin_enrolment(session, SYSTEM, spec())
    with pytest.raises(Conflict, match="host rekey db9"):
        host_changes.begin_enrolment(session, SYSTEM, HostSpec("db9", "192.0.2.9", (make_key(),)))


def test_two_hosts_have_two_addresses(session: Session) -> None:
    host_changes.begin_enrolment(session, SYSTEM, spec())
    with pytest.raises(NameTaken):
        host_changes.begin_enrolment(session, SYSTEM, spec("other"))
    host_changes.begin_enrolment(session, SYSTEM, spec("other", ssh_port=2222))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "local"}, {"name": "a_b"}, {"name": "-x"}, {"name": "Db1"}, {"name": "x" * 64}, {"address": "a b"},
        {"address": "-oProxyCommand=x"}, {"address": ""}, {"public_host": "x;y"}, {"region": "EU"}, {"capacity": -1},
        {"ssh_port": 0}, {"variables": {"ansible_password": "x"}}, {"host_keys": ()},
        {"host_keys": ("ssh-ed25519 AAAA",)}, {"host_keys": (KEY.replace("ssh-ed25519", "ssh-rsa"),)},
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused(session: Session, wrong: dict[str, Any]) -> None:
    values = {"name": "db9", "address": "192.0.2.9", "host_keys": (KEY,), **wrong}
    with pytest.raises(ValidationFailed):
        host_changes.begin_enrolment(session, SYSTEM, HostSpec(**values))
    assert session.scalar(select(Host).where(Host.name == values["name"])) is None


def test_states(session: Session, host: Host) -> None:
    assert host_changes.set_state(session, SYSTEM, host, "draining")
    assert not host_changes.set_state(session, SYSTEM, host, "draining")
    with pytest.raises(HostUnavailable):
        hosts.place(session)
    host_changes.set_state(session, SYSTEM, host, "offline")
    host_changes.set_state(session, SYSTEM, host, "active")
    assert hosts.place(session) is host
    assert actions(session) == ["host.drain", "host.offline", "host.activate"]


def test_a_host_that_is_enrolling_cannot_be_activated(session: Session) -> None:
    host = host_changes.begin_enrolment(session, SYSTEM, spec())
    with pytest.raises(Conflict, match="has not ended"):
        host_changes.set_state(session, SYSTEM, host, "active")


def test_what_waited_is_due_when_the_host_is_back(session: Session, alice: Actor, shop: Database) -> None:
    host = shop.host
    host_changes.set_state(session, SYSTEM, host, "offline")
    operation = databases.stop_database(session, alice, shop)
    session.execute(text("UPDATE operations SET next_attempt_at = now() + interval '1 hour'"))
    host_changes.set_state(session, SYSTEM, host, "draining")
    assert session.scalar(select(Operation.id).where(Operation.next_attempt_at <= text("now()"))) == operation.id


def test_a_refused_key_holds_the_host_until_it_is_rekeyed(session: Session) -> None:
    host = host_changes.begin_enrolment(session, SYSTEM, spec())
    host_changes.finish_enrolment(session, SYSTEM, host)
    assert host_changes.refuse_key(session, host.id)
    assert not host_changes.refuse_key(session, host.id)
    session.refresh(host)
    assert host.is_held
    with pytest.raises(HostUnavailable):
        hosts.place(session)
    host_changes.set_state(session, SYSTEM, host, "draining")
    with pytest.raises(Conflict, match="rekey"):
        host_changes.set_state(session, SYSTEM, host, "active")
    new = make_key()
    host_changes.rekey(session, SYSTEM, host, [new])
    assert (host.host_keys, host.is_held) == ([check_key(new)], False)
    [event] = session.scalars(select(AuditEvent).where(AuditEvent.action == "host.rekey"))
    assert event.details == {"from": [fingerprint(check_key(KEY))], "to": [fingerprint(check_key(new))]}


def test_a_host_with_databases_stays(session: Session, shop: Database) -> None:
    with pytest.raises(Conflict, match="1 database lives on db1"):
        host_changes.remove(session, SYSTEM, shop.host)


def test_a_removed_host_is_gone_and_its_name_free(session: Session) -> None:
    host = host_changes.begin_enrolment(session, SYSTEM, spec())
    host_changes.remove(session, SYSTEM, host)
    session.commit()
    with pytest.raises(HostNotFound):
        hosts.by_name(session, "db9")
    again = host_changes.begin_enrolment(session, SYSTEM, spec())
    assert again.id != host.id


def test_the_installations_own_host_is_not_removed(session: Session) -> None:
    with pytest.raises(Conflict):
        host_changes.remove(session, SYSTEM, hosts.ensure_host(session, SYSTEM, "local", "127.0.0.1", 6432))


def test_hosts_of_this_machine_are_adopted_with_the_keys_they_have_now(session: Session) -> None:
    old = hosts.ensure_host(session, SYSTEM, "db9", "192.0.2.9", 6432)
    assert host_changes.adopt(session, SYSTEM, spec()) is old
    assert (old.state, old.address) == ("active", "192.0.2.9")
    new = make_key()
    host_changes.adopt(session, SYSTEM, HostSpec("db9", "192.0.2.9", (new,)))
    assert old.host_keys == [check_key(new)]
