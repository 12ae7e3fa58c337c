"""The package works for a role with any settings that PostgreSQL accepts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    PlanGroup,
    PlanGroupLock,
    PlanGroupLockedError,
    UnitOfWork,
    generate_plans,
    lock_status,
)
from domain.locking import LockStatus
from domain.models import Base
from domain.models.base import UtcDateTime
from domain.probe import probe
from domain.repositories import PlanGroupRepository, StudentPlanRepository
from tests.factories import ContentFactory, PlanGroupFactory
from tests.integration.editing import Factory
from tests.integration.lock_answers import READ_BY_SQLALCHEMY, role_settings
from tests.integration.storing import FIRST, store

LATIN_ONLY = "LATIN1"
# Before 1908 the UTC offset of Asia/Seoul was 8 hours, 27 minutes and 52 seconds.
INSTANTS = [
    datetime(1900, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2025, 3, 9, 10, 30, 0, 123_456, tzinfo=UTC),
    datetime(9999, 12, 31, 12, 0, tzinfo=UTC),
]
each_setting = pytest.mark.parametrize("settings", READ_BY_SQLALCHEMY)


@pytest.fixture
def role_factory(
    settings: str, maintenance: sa.Connection, database_url: sa.URL
) -> Iterator[Factory]:
    """Return a session factory for a role with the settings."""
    with role_settings(maintenance, database_url, READ_BY_SQLALCHEMY[settings]):
        engine = sa.create_engine(database_url, pool_size=3, max_overflow=0)
        yield sessionmaker(engine)
        engine.dispose()


def new_group(settings: str) -> PlanGroup:
    """Return a group whose texts the client encoding can represent."""
    if settings == LATIN_ONLY:
        contents = [ContentFactory.build(position=0, title="Algèbre")]
        return PlanGroupFactory.build(name="Algèbre", contents=contents, non_study_blocks=[])
    title = "수학 \\ 'x' \"y\""
    contents = [ContentFactory.build(position=0, title=title)]
    return PlanGroupFactory.build(name=title, contents=contents)


@each_setting
def test_plan_group_is_stored_generated_repeated_and_read_under_the_settings(
    session_factory: Factory, role_factory: Factory, settings: str
) -> None:
    group = new_group(settings)
    name, lock = group.name, PlanGroupLock(group.tenant_id, group.id)
    with UnitOfWork(role_factory, lock=lock) as uow:
        uow.groups.add(group)
        uow.commit()
    options: dict[str, Any] = {"today": FIRST, "idempotency_key": f"key {name}"}
    first, second = (generate_plans(role_factory, lock, **options) for _ in range(2))
    assert (first.generation, first.repeated, second.repeated) == (1, False, True)
    assert second.plan_ids == first.plan_ids
    assert second == first
    assert _read(role_factory, lock) == _read(session_factory, lock)
    assert (
        generate_plans(role_factory, lock, **{**options, "idempotency_key": None}).generation == 2
    )


def _read(factory: Factory, lock: PlanGroupLock) -> dict[str, Any]:
    """Return what the repositories read of the lock's group, including instants."""
    with factory() as session:
        groups = PlanGroupRepository(session, lock.tenant_id)
        plans = StudentPlanRepository(session, lock.tenant_id)
        found = groups.get(lock.group_id)
        (record,) = groups.generations(lock.group_id)
        return {
            "group": (found.name, found.status, found.created_at, found.weakness_factor),
            "contents": [(content.title, content.allocation) for content in found.contents],
            "record": (record.generated_at, record.idempotency_key, record.quality),
            "plans": [(row.id, row.date, row.kind, row.state) for row in plans.live(lock.group_id)],
        }


@each_setting
def test_refusal_and_lock_status_name_the_holder_under_the_settings(
    session_factory: Factory, role_factory: Factory, settings: str
) -> None:
    group = new_group(settings)
    store(session_factory, group)
    lock = PlanGroupLock(group.tenant_id, group.id)
    with UnitOfWork(session_factory, lock=lock) as uow:
        expected = _status(uow.session, lock).holder
        with role_factory() as session:
            status = _status(session, lock)
        with pytest.raises(PlanGroupLockedError) as refused, UnitOfWork(role_factory, lock=lock):
            pass
        uow.rollback()
    assert (status.held, status.held_by_me, status.waiting) == (True, False, 0)
    for holder in (status.holder, refused.value.holder):
        assert expected is not None
        assert holder is not None
        assert holder.held_ms is not None
        assert (holder.pid, holder.since) == (expected.pid, expected.since)
        assert 0 <= holder.held_ms < 600_000
    with UnitOfWork(role_factory, lock=lock) as uow:
        assert _status(uow.session, lock).held_by_me
        uow.rollback()


def _status(session: Session, lock: PlanGroupLock) -> LockStatus:
    return lock_status(session, lock.tenant_id, lock.group_id)


@each_setting
def test_probe_accepts_the_settings(role_factory: Factory, settings: str) -> None:
    probe(role_factory.kw["bind"])


@pytest.mark.parametrize(
    "settings", ["dates German", "zone with a former offset in seconds", "dates SQL"]
)
@pytest.mark.parametrize("instant", INSTANTS)
def test_instant_is_read_with_the_microsecond_that_was_stored(
    role_factory: Factory, settings: str, instant: datetime
) -> None:
    with role_factory() as session:
        group = new_group(settings)
        group.created_at = instant
        session.add(group)
        session.flush()
        session.expire(group)
        assert group.created_at == instant
        assert group.created_at.tzinfo is UTC
        later = PlanGroup.created_at > instant - timedelta(microseconds=1)
        same = sa.select(PlanGroup.created_at).where(
            PlanGroup.created_at == instant, later, PlanGroup.id == group.id
        )
        assert session.scalars(same).all() == [instant]
        greatest = sa.select(sa.func.max(PlanGroup.created_at)).where(PlanGroup.id == group.id)
        assert session.scalar(greatest) == instant
        session.rollback()


@pytest.mark.parametrize("settings", ["dates Postgres"])
def test_instant_computed_by_the_server_is_returned_by_the_insert(
    role_factory: Factory, settings: str
) -> None:
    with role_factory() as session:
        group = new_group(settings)
        session.add(group)
        session.flush()
        began = session.scalar(sa.text("SELECT extract(epoch FROM now())::float"))
        inserted = sa.insert(PlanGroup).returning(PlanGroup.created_at)
        values = {
            column.key: getattr(group, column.key)
            for column in sa.inspect(PlanGroup).columns
            if column.key not in {"id", "created_at"}
        }
        again = session.scalar(
            inserted.values(**values, id=sa.func.gen_random_uuid(), created_at=sa.func.now())
        )
        assert again is not None
        assert again.timestamp() == pytest.approx(began, abs=1e-3)
        session.rollback()


def test_mapped_instants_have_the_type_utc_date_time() -> None:
    """No mapped class uses ``DateTime``, which psycopg cannot read under every DateStyle."""
    columns = [column for table in Base.metadata.sorted_tables for column in table.columns]
    assert not [str(column) for column in columns if isinstance(column.type, sa.DateTime)]
    assert [str(column) for column in columns if isinstance(column.type, UtcDateTime)] == [
        "plan_groups.created_at",
        "plan_generations.generated_at",
        "student_plans.done_at",
        "student_plans.retired_at",
    ]
