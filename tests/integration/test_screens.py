"""Views of plans with the titles of their contents, and pages of groups."""

import json
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import (
    GroupStatus,
    InvalidInputError,
    PlanGroup,
    PlanGroupLock,
    PlanGroupService,
    PlanState,
    UnitOfWork,
    generate_plans,
)
from domain.repositories import PlanGroupRepository, PlanView, StudentPlanRepository
from domain.services import preview_plans
from tests.factories import PlanGroupFactory
from tests.integration.asking import counted
from tests.integration.storing import FIRST, done_by, generate, live, mark, store, stored_group
from tests.unit.documents.documents import EXAMPLE

Factory = sessionmaker[Session]
LAST = date(2025, 1, 28)


def created(factory: Factory) -> PlanGroup:
    with UnitOfWork(factory, lock=PlanGroupLock(uuid4(), uuid4())) as uow:
        fields = json.loads(EXAMPLE)
        group = PlanGroupService(uow).create(fields, student_id=uuid4(), status="saved")
        uow.commit()
    return group


def views(factory: Factory, tenant_id: UUID, *between: date, **ids: Any) -> list[PlanView]:
    with factory() as session:
        return StudentPlanRepository(session, tenant_id).views(*between, **ids)


def test_views_from_the_table_equal_those_of_the_result(session_factory: Factory) -> None:
    group = created(session_factory)
    lock = PlanGroupLock(group.tenant_id, group.id)
    options: Any = {"today": group.period_start, "idempotency_key": "a key"}
    result, repeated = (generate_plans(session_factory, lock, **options) for _ in range(2))
    found = views(session_factory, group.tenant_id, group.period_start, LAST, group_id=group.id)
    assert tuple(found) == result.views == repeated.views
    assert [view.to_dict() for view in found] == [view.to_dict() for view in result.views]
    titles = {content.id: (content.title, content.subject) for content in group.contents}
    assert {view.content_id: (view.title, view.subject) for view in found} == titles


def test_view_is_serializable_and_has_the_fields_of_the_command_line(
    session_factory: Factory,
) -> None:
    group = created(session_factory)
    result = generate(session_factory, group, group.period_start)
    shown = json.loads(json.dumps([view.to_dict() for view in result.views]))
    plans = [plan.to_dict() for plan in result.plans]
    assert [{name: view[name] for name in plans[0]} for view in shown] == plans
    assert shown[0]["id"] == str(result.plan_ids[0])
    assert shown[0]["title"] == "수학의 정석 기하와 벡터"
    assert (shown[0]["date"], shown[0]["from"], shown[0]["state"]) == (
        "2025-01-01", "10:00", "planned",
    )  # fmt: skip


def test_warning_messages_contain_the_titles_of_contents(session_factory: Factory) -> None:
    group = created(session_factory)
    result = generate(session_factory, group, group.period_start)
    titles = {content.position: content.title for content in group.contents}
    named = [
        (titles[position], message)
        for warning, message in zip(result.warnings, result.warning_messages("en"), strict=True)
        if isinstance(position := warning.data.get("content"), int)
    ]
    assert named
    assert [title for title, message in named if title not in message] == []
    assert result.warning_messages() == result.warning_messages("ko")


def test_view_of_a_preview_has_no_id(session_factory: Factory) -> None:
    group = created(session_factory)
    with session_factory() as session:
        result = preview_plans(
            session, tenant_id=group.tenant_id, group_id=group.id, today=group.period_start
        )
    assert {(view.id, view.generation) for view in result.views} == {(None, None)}
    assert len(result.views) == len(result.plans)


def test_views_contain_the_progress_of_the_student(session_factory: Factory) -> None:
    group = stored_group(session_factory)
    generate(session_factory, group)
    first = live(session_factory, group)[0]
    through = first.first_unit
    mark(session_factory, first, pinned=True, version=5, **done_by(PlanState.PART_DONE, through))
    [view] = [
        view
        for view in views(session_factory, group.tenant_id, FIRST, LAST, group_id=group.id)
        if view.id == first.id
    ]
    assert (view.state, view.done_through, view.pinned, view.version) == (
        PlanState.PART_DONE, through, True, 5,
    )  # fmt: skip


def test_views_contain_only_live_plans_of_the_tenant_between_the_dates(
    session_factory: Factory,
) -> None:
    ids: dict[str, Any] = {"tenant_id": uuid4(), "student_id": uuid4()}
    one, other = (stored_group(session_factory, **ids) for _ in range(2))
    for group in (one, other, one):
        generate(session_factory, group)
    tenant_id, student_id = ids["tenant_id"], ids["student_id"]
    both = views(session_factory, tenant_id, FIRST, LAST, student_id=student_id)
    assert len(both) == len(live(session_factory, one)) + len(live(session_factory, other))
    assert both == sorted(both, key=lambda view: (view.date, view.start_minute))
    day = FIRST + timedelta(days=1)
    that_day = views(session_factory, tenant_id, day, day, student_id=student_id)
    assert that_day == [view for view in both if view.date == day]
    of_one = views(session_factory, tenant_id, FIRST, LAST, student_id=student_id, group_id=one.id)
    assert of_one == [view for view in both if view.group_id == one.id]
    assert views(session_factory, uuid4(), FIRST, LAST, student_id=student_id) == []
    assert views(session_factory, tenant_id, FIRST, LAST, student_id=uuid4()) == []


@pytest.mark.parametrize(
    ("between", "ids", "field"),
    [
        ((FIRST, LAST), {}, "student_id"),
        ((FIRST, LAST), {"student_id": "kim"}, "student_id"),
        ((FIRST, LAST), {"group_id": 7}, "group_id"),
        (("2025-01-06", LAST), {"group_id": uuid4()}, "first"),
        ((FIRST, None), {"group_id": uuid4()}, "last"),
        ((LAST, FIRST), {"group_id": uuid4()}, "last"),
    ],
)
def test_views_refuse_invalid_input_and_name_the_field(
    session_factory: Factory, between: Any, ids: Any, field: str
) -> None:
    with pytest.raises(InvalidInputError) as refused:
        views(session_factory, uuid4(), *between, **ids)
    assert refused.value.field == field


def test_views_of_a_week_need_one_statement(session_factory: Factory, database_url: sa.URL) -> None:
    group = created(session_factory)
    generate(session_factory, group, group.period_start)
    engine = sa.create_engine(database_url, pool_size=1, max_overflow=0)
    sent: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))
    week = group.period_start, group.period_start + timedelta(days=6)
    with counted(engine):
        found = views(sessionmaker(engine), group.tenant_id, *week, student_id=group.student_id)
        assert [view.to_dict()["title"] for view in found]
    engine.dispose()
    assert len(sent) == 1


def test_pages_contain_all_groups_in_order(session_factory: Factory) -> None:
    tenant_id, student_id = uuid4(), uuid4()
    groups = [
        PlanGroupFactory.build(
            tenant_id=tenant_id,
            student_id=student_id if number % 2 else uuid4(),
            status=GroupStatus.SAVED if number % 3 else GroupStatus.DRAFT,
            # Two groups start on each day and are ordered by id.
            period_start=date(2025, 1, 6) + timedelta(days=number // 2),
            period_end=date(2025, 2, 6),
        )
        for number in range(7)
    ]
    store(session_factory, *groups)
    in_order = sorted(groups, key=lambda group: (group.period_start, group.id))

    def shown(limit: int, **options: Any) -> list[list[UUID]]:
        pages: list[list[UUID]] = []
        after = None
        with session_factory() as session:
            repository = PlanGroupRepository(session, tenant_id)
            while pages == [] or after is not None:
                page = repository.page(limit=limit, after=after, **options)
                pages.append([group.id for group in page.groups])
                after = page.next_page
        return pages

    ids = [group.id for group in in_order]
    assert shown(3) == [ids[:3], ids[3:6], ids[6:]]
    assert shown(7) == [ids]
    saved = [group.id for group in in_order if group.status is GroupStatus.SAVED]
    assert shown(50, statuses=["saved"]) == shown(50, statuses="saved") == [saved]
    assert shown(50, statuses={GroupStatus.SAVED, GroupStatus.DRAFT}) == [ids]
    mine = [group.id for group in in_order if group.student_id == student_id]
    assert shown(2, student_id=student_id) == [mine[:2], mine[2:]]
    with session_factory() as session:
        assert PlanGroupRepository(session, uuid4()).page().groups == ()


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 501}, "limit"),
        ({"limit": "10"}, "limit"),
        ({"student_id": "kim"}, "student_id"),
        ({"statuses": ["open"]}, "statuses"),
        ({"statuses": "open"}, "statuses"),
        ({"after": ""}, "after"),
        ({"after": "2025-01-06"}, "after"),
        ({"after": f"{uuid4()}_2025-01-06"}, "after"),
        ({"after": 7}, "after"),
    ],
)
def test_page_refuses_invalid_input_and_names_the_field(
    session_factory: Factory, options: Any, field: str
) -> None:
    with session_factory() as session, pytest.raises(InvalidInputError) as refused:
        PlanGroupRepository(session, uuid4()).page(**options)
    assert refused.value.field == field
