"""A group whose plans can be marked, and its two kinds of lock."""

from datetime import date, timedelta

from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock
from tests.concurrency.worlds import generate, stored_group
from tests.factories import ContentFactory


def generated_group(factory: sessionmaker[Session]) -> PlanGroup:
    """A stored group that was generated once, with plans for at least 20 marks."""
    contents = [ContentFactory.build(position=0, last_unit=200)]
    group = stored_group(factory, period_end=date(2025, 2, 28), contents=contents)
    generate(factory, group)
    return group


def shared(group: PlanGroup, wait: timedelta | None = None) -> PlanGroupLock:
    return PlanGroupLock(group.tenant_id, group.id, wait=wait, shared=True)


def exclusive(group: PlanGroup, wait: timedelta | None = None) -> PlanGroupLock:
    return PlanGroupLock(group.tenant_id, group.id, wait=wait)
