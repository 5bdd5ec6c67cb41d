"""Hosts by the API; for platform admins. A host is added by command: that takes an operator's rights on the machine."""

from datetime import datetime
from typing import Annotated, Literal

from flask import Response
from pydantic import AfterValidator, BaseModel, Field

from webapp.api import figures
from webapp.api.auth import routes
from webapp.api.responses import answer, cacheable, documented
from webapp.api.schemas import Answer, Body, Whole, no_defaults, no_nul, rule
from webapp.http import current_actor, current_session
from webapp.services import access, host_changes, host_details
from webapp.services.host_details import HostDetails
from webapp.services.host_rules import ADDRESS, MAX_CAPACITY, REGION, check_address, check_region

api = routes("hosts_api", "hosts", "/hosts")


class HostPath(BaseModel):
    name: Annotated[str, AfterValidator(no_nul), Field(json_schema_extra={"pattern": r"^[a-z0-9.-]+$"})]


class HostChanges(Body):
    """What is to change; a field that is not sent stays as it is."""

    model_config = {"json_schema_extra": no_defaults}

    state: Literal["active", "draining", "offline"] = "active"
    capacity: Whole = Field(0, ge=0, le=MAX_CAPACITY)
    region: Annotated[
        str, AfterValidator(rule(check_region)), Field(json_schema_extra={"pattern": f"^{REGION.pattern}$"})
    ] = ""
    public_host: Annotated[
        str, AfterValidator(rule(check_address)), Field(json_schema_extra={"pattern": f"^{ADDRESS.pattern}$"})
    ] = ""


class HostOut(figures.HostHealth):
    """A host: how it is reached, and how it is as of its last report."""

    address: str | None = Field(description="Where SSH answers; null for a host that an inventory file describes.")
    ssh_port: int
    public_host: str = Field(description="What connection strings say.")
    pgbouncer_port: int
    pgbouncer_direct_port: int
    host_key_fingerprints: list[str] = Field(description="Of the pinned SSH keys.")
    key_refused_at: datetime | None = Field(description="Since when it shows another key: nothing runs on it.")
    created_at: datetime


class HostList(Answer):
    data: list[HostOut]


def shape(details: HostDetails) -> HostOut:
    host = details.host
    return HostOut(
        **figures.of_host(details.figures).model_dump(),
        address=host.address,
        ssh_port=host.ssh_port,
        public_host=host.public_host,
        pgbouncer_port=host.pgbouncer_port,
        pgbouncer_direct_port=host.pgbouncer_direct_port,
        host_key_fingerprints=details.fingerprints,
        key_refused_at=figures.utc(host.key_refused_at),
        created_at=figures.utc(host.created_at),
    )


@api.get("", responses=documented({200: HostList, 304: None}, 404))
def index() -> Response:
    """List all hosts, by name."""
    access.require_platform_admin(current_actor())
    return cacheable(HostList(data=[shape(row) for row in host_details.list_hosts(current_session())]))


@api.get("/<name>", responses=documented({200: HostOut, 304: None}, 404))
def show(path: HostPath) -> Response:
    """Show one host."""
    access.require_platform_admin(current_actor())
    return cacheable(shape(host_details.show_host(current_session(), path.name)))


@api.patch("/<name>", responses=documented({200: HostOut}, 404, 409, 413, 415))
def change(path: HostPath, body: HostChanges) -> Response:
    """Change a host's state, capacity, region or public host. Operations on an offline host wait."""
    session, actor = current_session(), current_actor()
    access.require_platform_admin(actor)
    host = host_details.show_host(session, path.name).host
    wanted = body.model_dump(exclude_unset=True)
    state = wanted.pop("state", host.state)
    host_changes.describe(session, actor, host, **wanted)
    host_changes.set_state(session, actor, host, state)
    session.commit()
    return answer(shape(host_details.show_host(session, path.name)))
