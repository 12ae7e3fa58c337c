"""Generations in units of work that end in one way or another, and what is reported of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, event
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGenerationService, PlanGroup, PlanGroupLock, UnitOfWork
from domain.events import GenerationEvent, subscribe
from tests.integration.storing import FIRST

Factory = sessionmaker[Session]
End = Callable[[UnitOfWork], None]


@contextmanager
def listening(listener: Callable[[GenerationEvent], object]) -> Iterator[None]:
    """Call ``listener`` with the events of generations."""
    unsubscribe = subscribe(lambda one: listener(one) if isinstance(one, GenerationEvent) else None)
    try:
        yield
    finally:
        unsubscribe()


def outcomes(events: list[GenerationEvent]) -> list[tuple[str, str | None]]:
    return [(event.outcome, event.error_type) for event in events]


def enter(factory: Factory, *groups: PlanGroup) -> UnitOfWork:
    """A unit of work for groups of one tenant."""
    ids = [group.id for group in groups]
    return UnitOfWork(factory, lock=PlanGroupLock.of(groups[0].tenant_id, ids))


def generate_in(uow: UnitOfWork, group: PlanGroup, **options: Any) -> GenerationResult:
    return PlanGenerationService(uow).generate(today=FIRST, group_id=group.id, **options)


def request(
    factory: Factory, group: PlanGroup, end: End = UnitOfWork.commit, **options: Any
) -> None:
    """Generate, and end the unit of work."""
    with enter(factory, group) as uow:
        generate_in(uow, group, **options)
        end(uow)


def raise_an_error(_: UnitOfWork) -> None:
    raise ZeroDivisionError


def commit_nothing(_: UnitOfWork) -> None:
    """The block ends as if all were well."""


def commit_after_a_listener_that_fails(uow: UnitOfWork) -> None:
    """The COMMIT is not sent, and SQLAlchemy considers the transaction ended."""

    def fail(_: Connection) -> None:
        raise KeyError

    event.listen(uow.connection, "commit", fail)
    uow.commit()
