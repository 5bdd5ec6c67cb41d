"""Lists over the whole installation, for platform admins."""

from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from webapp.models import Database, Host, Operation, User
from webapp.services.actors import Actor
from webapp.services.paging import Page, paginate
from webapp.services.user_admin import require_admin

PER_PAGE = 40


@dataclass(frozen=True)
class Filters:
    """What is looked for; what is empty does not matter. `state` is a database's status or an operation's state."""

    search: str = ""
    state: str = ""
    host: str = ""
    kind: str = ""


def databases(session: Session, actor: Actor, filters: Filters, *, page: int) -> Page[Database]:
    """Everybody's databases by name, display name or owner, newest first; `deleted` is a state too."""
    require_admin(actor)
    query = select(Database).join(User, User.id == Database.owner_id).join(Host, Host.id == Database.host_id)
    query = query.where(
        Database.deleted_at.is_not(None) if filters.state == "deleted" else Database.deleted_at.is_(None)
    )
    if filters.state and filters.state != "deleted":
        query = query.where(Database.status == filters.state)
    if word := filters.search.strip():
        columns = (Database.name, Database.display_name, User.email)
        query = query.where(or_(*(column.icontains(word, autoescape=True) for column in columns)))
    if filters.host:
        query = query.where(Host.name == filters.host)
    return paginate(session, query.order_by(Database.created_at.desc(), Database.id), page=page, limit=PER_PAGE)


def operations(session: Session, actor: Actor, filters: Filters, *, page: int) -> Page[Operation]:
    """Everybody's operations by database, newest first."""
    require_admin(actor)
    query = select(Operation).join(Database, Database.id == Operation.database_id)
    query = query.join(Host, Host.id == Operation.host_id)
    if filters.state:
        query = query.where(Operation.state == filters.state)
    if filters.kind:
        query = query.where(Operation.kind == filters.kind)
    if word := filters.search.strip():
        query = query.where(Database.name.icontains(word, autoescape=True))
    if filters.host:
        query = query.where(Host.name == filters.host)
    return paginate(session, query.order_by(Operation.created_at.desc(), Operation.id), page=page, limit=PER_PAGE)


def host_names(session: Session) -> list[str]:
    """Every host, by name."""
    return list(session.scalars(select(Host.name).order_by(Host.name)))
