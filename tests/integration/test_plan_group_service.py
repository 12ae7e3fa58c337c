"""``PlanGroupService.create`` stores the complete group of a document, or nothing."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from psycopg.pq import PipelineStatus
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, registry, sessionmaker

from domain import (
    AsyncUnitOfWork,
    GroupStatus,
    InvalidInputError,
    PlanGroup,
    PlanGroupLock,
    PlanGroupLockedError,
    PlanGroupService,
    StudentLock,
    UnitOfWork,
    generate_plans,
)
from domain.documents import read_json
from domain.documents.pydantic_schema import PlanGroupModel
from domain.errors import LockNotHeldError, PlanGroupNotGeneratableError
from domain.repositories import PlanGroupRepository, StudentTimeRepository
from tests.factories import PlanGroupFactory
from tests.integration.asking import counted
from tests.integration.editing import everything
from tests.integration.storing import columns
from tests.unit.documents.documents import BOOK, EXAMPLE, LECTURE, SMALL

Factory = sessionmaker[Session]
FIELDS: dict[str, Any] = json.loads(EXAMPLE)
CLASS = {"weekday": 3, "start": "14:00", "end": "17:00", "name": "수학 학원"}
HOLIDAY = {"date": "2025-01-08", "type": "휴가"}
MAX_ROUND_TRIPS = 8


def create(
    factory: Factory, fields: Any, *, lock: PlanGroupLock | None = None, **options: Any
) -> PlanGroup:
    lock = lock or PlanGroupLock(uuid4(), uuid4())
    with UnitOfWork(factory, lock=lock) as uow:
        group = PlanGroupService(uow).create(fields, **{"student_id": uuid4(), **options})
        uow.commit()
    return group


def refused(factory: Factory, fields: Any, **options: Any) -> dict[str, str]:
    """Return the errors of a refused creation; nothing is written although the caller commits."""
    before = everything(factory)
    with UnitOfWork(factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        with pytest.raises(InvalidInputError) as error:
            PlanGroupService(uow).create(fields, **{"student_id": uuid4(), **options})
        uow.commit()
    assert everything(factory) == before
    return {field_error.field: field_error.message for field_error in error.value.errors}


def test_create_stores_the_complete_group_under_the_id_of_the_lock(
    session_factory: Factory,
) -> None:
    lock, student_id = PlanGroupLock(uuid4(), uuid4()), uuid4()
    created = create(session_factory, FIELDS, lock=lock, student_id=student_id)
    assert (created.id, created.tenant_id) == (lock.group_id, lock.tenant_id)
    with session_factory() as session:
        found = PlanGroupRepository(session, lock.tenant_id).get(created.id)
        assert columns(found) == columns(created)
        for expected, stored in zip(_parts(created), _parts(found), strict=True):
            assert columns(expected) == columns(stored)
        time = StudentTimeRepository(session, lock.tenant_id)
        assert [exclusion.reason for exclusion in time.exclusions_of_group(created.id)] == [
            "가족 여행"
        ]
        assert [lesson.name for lesson in time.academy_schedules(student_id)] == ["수학 학원"]


def _parts(group: PlanGroup) -> list[Any]:
    def in_order(rows: Any) -> list[Any]:
        return sorted(rows, key=lambda row: (row.weekday, row.start_minute))

    episodes = [episode for content in group.contents for episode in content.episodes]
    spans = in_order(group.blocks), in_order(group.non_study_blocks)
    return [*group.contents, *episodes, *spans[0], *spans[1]]


def test_create_returns_a_draft_unless_the_status_is_saved(session_factory: Factory) -> None:
    draft = create(session_factory, SMALL)
    saved = create(session_factory, SMALL, status="saved")
    assert (draft.status, saved.status) == (GroupStatus.DRAFT, GroupStatus.SAVED)
    today = saved.period_start
    with pytest.raises(PlanGroupNotGeneratableError):
        generate_plans(session_factory, PlanGroupLock(draft.tenant_id, draft.id), today=today)
    lock = PlanGroupLock(saved.tenant_id, saved.id)
    assert generate_plans(session_factory, lock, today=today).generation == 1


@pytest.mark.parametrize("form", [read_json, PlanGroupModel.model_validate_json])
def test_create_accepts_a_document_that_is_already_parsed(
    session_factory: Factory, form: Any
) -> None:
    created = create(session_factory, form(EXAMPLE))
    assert [content.title for content in created.contents] == [
        content["title"] for content in FIELDS["contents"]
    ]


@pytest.mark.parametrize(
    ("fields", "options", "names"),
    [
        ({}, {}, {"name", "period"}),
        ({**SMALL, "name": "a\0b", "purpose": 7}, {}, {"name", "purpose"}),
        ({**SMALL, "contents": [{**BOOK, "range": [9, 1]}]}, {}, {"contents[0].range"}),
        ({**SMALL, "contents": [{**BOOK, "title": ""}, BOOK, 7]}, {},
         {"contents[0].title", "contents[2]"}),
        ({**SMALL, "contents": [BOOK] * 10}, {}, {"contents"}),
        ({**SMALL, "contents": [{**LECTURE, "episodes": [30]}]}, {}, {"contents[0].episodes"}),
        ({**SMALL, "exclusions": [{"date": "2024-01-01", "type": "휴가"}]}, {},
         {"exclusions[0].date"}),
        ({**SMALL, "academy_schedules": [CLASS, CLASS]}, {}, {"academy_schedules[1].start"}),
        ({**SMALL, "status": "saved"}, {}, {"status"}),
        (SMALL, {"student_id": "kim"}, {"student_id"}),
        (SMALL, {"student_id": None}, {"student_id"}),
        (SMALL, {"status": "active"}, {"status"}),
        (SMALL, {"status": None}, {"status"}),
        (SMALL, {"group_id": "a group"}, {"group_id"}),
        (None, {}, {"document"}),
    ],
)  # fmt: skip
def test_create_refuses_invalid_fields_by_name_and_stores_nothing(
    session_factory: Factory, fields: Any, options: dict[str, Any], names: set[str]
) -> None:
    assert refused(session_factory, fields, **options).keys() == names


def test_create_refuses_the_id_of_a_group_only_if_the_same_tenant_has_stored_it(
    session_factory: Factory,
) -> None:
    group = create(session_factory, FIELDS)
    lock = PlanGroupLock(group.tenant_id, group.id)
    with pytest.raises(InvalidInputError) as error:
        create(session_factory, FIELDS, lock=lock)
    assert error.value.field == "id"
    assert create(session_factory, FIELDS, lock=PlanGroupLock(uuid4(), group.id)).id == group.id


def test_create_stores_an_identical_class_of_the_student_once(session_factory: Factory) -> None:
    tenant_id, student_id = uuid4(), uuid4()
    for classes in ([CLASS], [CLASS, {**CLASS, "weekday": 4}]):
        lock = PlanGroupLock(tenant_id, uuid4())
        fields = {**SMALL, "academy_schedules": classes}
        create(session_factory, fields, lock=lock, student_id=student_id)
    with session_factory() as session:
        stored = StudentTimeRepository(session, tenant_id).academy_schedules(student_id)
    assert [lesson.weekday for lesson in stored] == [3, 4]


def test_create_counts_the_stored_classes_of_the_student(session_factory: Factory) -> None:
    lock, student_id = PlanGroupLock(uuid4(), uuid4()), uuid4()
    classes = [
        {"weekday": 3, "start": f"{hour:02}:{minute}", "end": f"{hour:02}:{minute + 20}"}
        for hour in range(13)
        for minute in (10, 30)
    ]
    create(
        session_factory,
        {**FIELDS, "academy_schedules": classes[:24]},
        lock=lock,
        student_id=student_id,
    )
    other = PlanGroupLock(lock.tenant_id, uuid4())
    with UnitOfWork(session_factory, lock=other) as uow:
        with pytest.raises(InvalidInputError) as error:
            PlanGroupService(uow).create(
                {**FIELDS, "academy_schedules": classes[23:25]}, student_id=student_id
            )
        uow.rollback()
    assert error.value.field == "academy_schedules"


@pytest.mark.parametrize("other", [{"end": "16:00"}, {"name": "영어 학원"}, {"travel_minutes": 5}])
def test_create_refuses_a_class_that_overlaps_another_class_of_the_student(
    session_factory: Factory, other: dict[str, Any]
) -> None:
    tenant_id, student_id = uuid4(), uuid4()
    fields = {**SMALL, "academy_schedules": [CLASS]}
    create(session_factory, fields, lock=PlanGroupLock(tenant_id, uuid4()), student_id=student_id)
    before = everything(session_factory)
    fields = {**SMALL, "academy_schedules": [{**CLASS, "weekday": 5}, {**CLASS, **other}]}
    with UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, uuid4())) as uow:
        with pytest.raises(InvalidInputError) as error:
            PlanGroupService(uow).create(fields, student_id=student_id)
        uow.commit()
    assert error.value.field == "academy_schedules[1].start"
    assert everything(session_factory) == before


def test_create_while_the_student_is_locked_is_refused_and_stores_nothing(
    session_factory: Factory,
) -> None:
    tenant_id, student_id = uuid4(), uuid4()
    before = everything(session_factory)
    fields = {**SMALL, "academy_schedules": [CLASS], "exclusions": [HOLIDAY]}

    def request() -> None:
        with UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, uuid4())) as uow:
            with pytest.raises(PlanGroupLockedError) as error:
                PlanGroupService(uow).create(fields, student_id=student_id)
            uow.commit()
        assert error.value.scope == "student"

    student = StudentLock(tenant_id, student_id)
    with UnitOfWork(session_factory, lock=student), ThreadPoolExecutor() as threads:
        threads.submit(request).result()
    assert everything(session_factory) == before


def test_create_requires_the_exclusive_lock_of_the_new_group(session_factory: Factory) -> None:
    tenant_id, group_id = uuid4(), uuid4()
    shared = PlanGroupLock(tenant_id, group_id, shared=True)
    for lock in (shared, StudentLock(tenant_id, uuid4())):
        with UnitOfWork(session_factory, lock=lock) as uow:
            with pytest.raises(LockNotHeldError):
                PlanGroupService(uow).create(SMALL, student_id=uuid4())
            uow.commit()
    several = PlanGroupLock.of(tenant_id, [group_id, uuid4()])
    with UnitOfWork(session_factory, lock=several) as uow:
        with pytest.raises(InvalidInputError, match="group_id"):
            PlanGroupService(uow).create(SMALL, student_id=uuid4())
        created = PlanGroupService(uow).create(SMALL, student_id=uuid4(), group_id=group_id)
        uow.commit()
    assert created.id == group_id


def test_create_needs_at_most_eight_round_trips(database_url: sa.URL) -> None:
    fields = {**FIELDS, "contents": (FIELDS["contents"] * 3)[:9]}
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0)
    with counted(engine) as trips:
        created = create(sessionmaker(engine), fields)
    engine.dispose()
    assert len(created.contents) == 9
    assert trips.count <= MAX_ROUND_TRIPS


@pytest.fixture
def students(owner_engine: sa.Engine) -> Iterator[sa.Table]:
    """Create a table of the application that plan groups reference by a foreign key."""
    table = sa.Table(
        "students", sa.MetaData(),
        sa.Column("tenant_id", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
    )  # fmt: skip
    with owner_engine.begin() as connection:
        table.create(connection)
        connection.exec_driver_sql("GRANT SELECT, INSERT ON students TO PUBLIC")
        connection.exec_driver_sql(
            "ALTER TABLE studyplan.plan_groups ADD CONSTRAINT fk_plan_groups_students "
            "FOREIGN KEY (tenant_id, student_id) REFERENCES public.students (tenant_id, id) "
            "NOT VALID"
        )
    yield table
    with owner_engine.begin() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE studyplan.plan_groups DROP CONSTRAINT fk_plan_groups_students"
        )
        table.drop(connection)


def test_create_refuses_a_student_that_a_foreign_key_of_the_application_refuses(
    session_factory: Factory, students: sa.Table
) -> None:
    with pytest.raises(InvalidInputError) as error:
        create(session_factory, FIELDS)
    assert error.value.field == "student_id"
    cause = error.value.__cause__
    assert isinstance(cause, sa.exc.IntegrityError)
    # In a pipeline the error arrives with the result of a later statement, or at its end. The
    # exception must not show the parameters of that statement, which did not fail.
    assert cause.statement == "one of the statements of a pipeline"
    assert not cause.params


@pytest.mark.parametrize("method", ["create", "add"])
def test_group_is_stored_after_pending_rows_of_the_application(
    session_factory: Factory, students: sa.Table, method: str
) -> None:
    base = registry()
    student_class = type("Student", (), {})
    base.map_imperatively(student_class, students)
    lock, student_id = PlanGroupLock(uuid4(), uuid4()), uuid4()
    with UnitOfWork(session_factory, lock=lock) as uow:
        student = student_class()
        student.tenant_id, student.id = lock.tenant_id, student_id
        uow.session.add(student)
        if method == "create":
            PlanGroupService(uow).create(FIELDS, student_id=student_id)
        else:
            uow.groups.add(
                PlanGroupFactory.build(
                    tenant_id=lock.tenant_id, id=lock.group_id, student_id=student_id
                )
            )
        uow.commit()
    base.dispose()
    with session_factory() as session:
        assert session.scalar(sa.select(students.c.id)) == student_id


def test_create_that_is_refused_ends_the_pipeline_of_its_connection(database_url: sa.URL) -> None:
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0)
    factory = sessionmaker(engine)
    group = create(factory, FIELDS)
    with pytest.raises(InvalidInputError):
        create(factory, FIELDS, lock=PlanGroupLock(group.tenant_id, group.id))
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.pgconn.pipeline_status == PipelineStatus.OFF
    assert create(factory, FIELDS).version == 1
    engine.dispose()


def test_create_works_with_asyncio(database_url: sa.URL) -> None:
    async def store(group_id: UUID) -> PlanGroup:
        async with AsyncUnitOfWork(factory, lock=PlanGroupLock(tenant_id, group_id)) as uow:
            created = await uow.run(
                lambda u: PlanGroupService(u).create(FIELDS, student_id=student_id)
            )
            await uow.commit()
        return created

    async def main() -> None:
        group_id = uuid4()
        created = await store(group_id)
        assert [len(content.episodes) for content in created.contents] == [0, 0, 30, 0]
        with pytest.raises(InvalidInputError, match="id"):
            await store(group_id)
        await engine.dispose()

    tenant_id, student_id = uuid4(), uuid4()
    engine = create_async_engine(database_url)
    factory = async_sessionmaker(engine)
    asyncio.run(main())
