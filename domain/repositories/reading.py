"""Reads of objects that refresh those which the Session has loaded before.

The package writes many rows without their objects: runs, marks of other requests, positions. So an
object that was read before may be outdated.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Row, Select, inspect
from sqlalchemy.orm import Session, undefer
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.util import identity_key

from domain.models import Base

Mapped = TypeVar("Mapped", bound=Base)


def refreshed(session: Session, kind: type[Mapped], query: Select[Any]) -> list[Mapped]:
    """Return the objects that a query selects, with the values that are stored now.

    Pending changes are written first. If the Session has some and does not autoflush, nothing that
    is loaded is refreshed, because that would discard them. What was loaded of an object stays
    loaded, so that it remains readable after a commit.
    """
    return [row[0] for row in refreshed_rows(session, kind, query)]


def refreshed_rows(
    session: Session,
    kind: type[Base],
    query: Select[Any],
    parameters: Mapping[str, Any] | None = None,
) -> Sequence[Row[Any]]:
    """Return the rows of a query whose only objects are of one kind, as ``refreshed`` does."""
    if not session.autoflush and session.dirty:
        return session.execute(query, parameters).all()
    deferred = _deferred(kind)
    objects = loaded(session, kind) if deferred or inspect(kind).relationships else []
    also = {key for one in objects for key in deferred if key in vars(one)}
    if also:
        query = query.options(*(undefer(getattr(kind, key)) for key in also))
    with _parts_kept(kind, objects):
        options = {"populate_existing": True}
        return session.execute(query, parameters, execution_options=options).all()


def loaded(session: Session, kind: type[Mapped]) -> list[Mapped]:
    """Return the objects of a kind that the Session has loaded."""
    return [one for one in session.identity_map.values() if isinstance(one, kind)]


def set_loaded(
    session: Session, kind: type[Base], tenant_id: UUID, id_: UUID, **values: object
) -> None:
    """Set what a statement has stored on the object of the row, if it is loaded."""
    one = session.identity_map.get(identity_key(kind, (tenant_id, id_)))
    for name, value in values.items() if one is not None else ():
        set_committed_value(one, name, value)


def _deferred(kind: type[Base]) -> set[str]:
    mapper: Any = inspect(kind)
    return {attribute.key for attribute in mapper.column_attrs if attribute.deferred}


@contextmanager
def _parts_kept(kind: type[Base], objects: Iterable[Base]) -> Iterator[None]:
    """A context for a query of rows without their parts, which would unload those of objects."""
    mapper: Any = inspect(kind)
    keys = mapper.relationships.keys()
    before = [(one, key, vars(one)[key]) for one in objects for key in keys if key in vars(one)]
    yield
    for one, key, parts in before:
        if key not in vars(one):
            set_committed_value(one, key, parts)
