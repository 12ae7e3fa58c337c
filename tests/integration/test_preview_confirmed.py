"""A preview is confirmed by its fingerprint, as long as it holds."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGroup, PlanGroupLock, PlanState, generate_plans
from domain.errors import EditedMeanwhileError
from domain.services import preview_plans, preview_reschedule, reschedule_plans
from tests.integration.storing import FIRST, book_group, change, done_by, dump, generate, live, mark

Factory = sessionmaker[Session]
Confirm = Callable[[Factory, PlanGroup, str], GenerationResult]
CONFIRM: dict[str, tuple[Callable[..., GenerationResult], Confirm]] = {
    "generate": (
        preview_plans,
        lambda f, g, text: generate_plans(f, lock_of(g), today=FIRST, fingerprint=text),
    ),
    "reschedule": (
        preview_reschedule,
        lambda f, g, text: reschedule_plans(f, lock_of(g), today=FIRST, fingerprint=text),
    ),
}


def lock_of(group: PlanGroup) -> PlanGroupLock:
    return PlanGroupLock(group.tenant_id, group.id)


def previewed(
    factory: Factory, group: PlanGroup, preview: Callable[..., GenerationResult]
) -> GenerationResult:
    with factory() as session:
        return preview(session, tenant_id=group.tenant_id, group_id=group.id, today=FIRST)


@pytest.mark.parametrize("operation", CONFIRM)
def test_confirmed_preview_is_what_is_written(session_factory: Factory, operation: str) -> None:
    preview, confirm = CONFIRM[operation]
    group = book_group(session_factory)
    shown = previewed(session_factory, group, preview)
    assert shown.fingerprint is not None
    written = confirm(session_factory, group, shown.fingerprint)
    assert (written.plans, written.changes) == (shown.plans, shown.changes)


@pytest.mark.parametrize("operation", CONFIRM)
@pytest.mark.parametrize("what", ["a setting", "a mark", "another group", "another operation"])
def test_preview_that_no_longer_holds_is_not_confirmed(
    session_factory: Factory, operation: str, what: str
) -> None:
    preview, confirm = CONFIRM[operation]
    group = book_group(session_factory)
    generate(session_factory, group)
    other = next(p for name, (p, _) in CONFIRM.items() if name != operation)
    confirmed = book_group(session_factory) if what == "another group" else group
    generate(session_factory, confirmed)
    shown = previewed(session_factory, group, other if what == "another operation" else preview)
    if what == "a setting":
        change(session_factory, group, review_factor=Decimal("0.5"))
    if what == "a mark":
        mark(session_factory, live(session_factory, group)[0], **done_by(PlanState.DONE))
    before = dump(session_factory, confirmed.id)
    with pytest.raises(EditedMeanwhileError):
        confirm(session_factory, confirmed, shown.fingerprint or "")
    assert dump(session_factory, confirmed.id) == before
