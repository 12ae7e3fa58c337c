"""Undo after a cancellation and after a removal, keys of redos, and versions of kept plans."""

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import GroupStateService, GroupStatus, PlanGroup, PlanState, activate
from domain.errors import EditedMeanwhileError, UndoNotPossibleError
from domain.repositories import HistoryRepository, StudentPlanRepository
from domain.scheduling.difference import PlanChanges
from domain.services import GroupEditService, PlanProgressService, UndoService
from tests.integration.storing import FIRST, book_group, dump, generate, live, unit_of_work

Factory = sessionmaker[Session]


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group with one book whose plans were generated."""
    group = book_group(session_factory)
    generate(session_factory, group)
    return group


def test_undo_does_not_bring_back_a_part_of_the_plans_that_a_cancellation_retired(
    session_factory: Factory,
) -> None:
    group = book_group(session_factory, review_days=0)
    generate(session_factory, group)
    *done, last = live(session_factory, group)
    (content,) = group.contents
    with unit_of_work(session_factory, group) as uow:
        for row in done:
            PlanProgressService(uow).mark(plan_id=row.id, expected_version=1, state=PlanState.DONE)
        GroupEditService(uow).change_content(
            content_id=content.id, expected_version=1, last_unit=last.first_unit - 1
        )
        uow.commit()
    assert generate(session_factory, group).changes == PlanChanges(kept=len(done), dropped=1)
    with unit_of_work(session_factory, group) as uow:
        GroupStateService(uow).change(to=GroupStatus.CANCELLED)
        uow.commit()
    activate(session_factory, tenant_id=group.tenant_id, group_id=group.id)
    before = dump(session_factory, group.id)
    with unit_of_work(session_factory, group) as uow:
        with pytest.raises(UndoNotPossibleError) as refused:
            UndoService(uow).undo()
        uow.rollback()
    assert refused.value.reason == "plans_changed"
    assert dump(session_factory, group.id) == before


def test_undo_is_refused_if_a_plan_of_the_run_was_removed(
    session_factory: Factory, group: PlanGroup
) -> None:
    plan = live(session_factory, group)[0]
    with unit_of_work(session_factory, group) as uow:
        PlanProgressService(uow).mark_missed(plan_id=plan.id, expected_version=1)
        HistoryRepository(uow.session, uow.tenant_id).remove_retired_plans(group.id, limit=1)
        uow.commit()
    with unit_of_work(session_factory, group) as uow:
        with pytest.raises(UndoNotPossibleError) as refused:
            UndoService(uow).undo()
        uow.rollback()
    assert refused.value.reason == "history_removed"


def test_repeated_key_of_a_redo_whose_run_was_undone_again_is_refused(
    session_factory: Factory, group: PlanGroup
) -> None:
    key = f"redo of {group.id}"
    with unit_of_work(session_factory, group) as uow:
        UndoService(uow).undo()
        uow.commit()
    with unit_of_work(session_factory, group) as uow:
        UndoService(uow).redo(idempotency_key=key)
        uow.commit()
    with unit_of_work(session_factory, group) as uow:
        assert UndoService(uow).redo(idempotency_key=key).repeated
        uow.rollback()
    with unit_of_work(session_factory, group) as uow:
        UndoService(uow).undo()
        uow.commit()
    with unit_of_work(session_factory, group) as uow:
        with pytest.raises(EditedMeanwhileError):
            UndoService(uow).redo(idempotency_key=key)
        uow.rollback()


def test_views_of_a_generation_are_those_of_the_repository(
    session_factory: Factory, group: PlanGroup
) -> None:
    """Plans that it kept have the generation that made them, and their own version."""
    row = live(session_factory, group)[3]
    for version, state in enumerate((PlanState.DONE, PlanState.PLANNED), 1):
        with unit_of_work(session_factory, group) as uow:
            PlanProgressService(uow).mark(plan_id=row.id, expected_version=version, state=state)
            uow.commit()
    result = generate(session_factory, group, FIRST)
    with session_factory() as session:
        found = StudentPlanRepository(session, group.tenant_id).views(
            group.period_start, group.period_end, group_id=group.id
        )
    assert tuple(found) == result.views
    assert result.views[3].version == 3
