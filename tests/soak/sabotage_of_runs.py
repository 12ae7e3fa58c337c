"""Defects that are put into the writing of runs to prove that the checker detects each of them.

A single worker is sufficient: these defects damage the rows whether or not requests overlap.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from enum import Enum
from typing import Any, Final
from unittest.mock import patch

import sqlalchemy as sa

from domain.models.plan import RetiredAs
from domain.repositories import (
    PlanGroupRepository,
    StudentPlanRepository,
    generations,
    plan_writing,
    undo,
    undo_statements,
)
from domain.repositories.snapshot import PlanningSnapshot
from domain.repositories.undo import UndoRepository
from domain.scheduling.result import Rescheduled
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Request
from domain.services import PlanProgressService, rescheduling

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]
Patch = tuple[Any, str, Wrap]
"""An attribute of a module or class, and what replaces it."""

RAISE_VERSIONS: Final = sa.text(
    "UPDATE studyplan.student_plans SET version = version + 1 WHERE id = ANY(CAST(:ids AS uuid[]))"
)
REVIVE_ANOTHER: Final = sa.text("""
UPDATE studyplan.student_plans
SET live = true, retired_as = NULL, retired_in = NULL, retired_at = NULL
WHERE id = (SELECT id FROM studyplan.student_plans
  WHERE group_id = :group AND NOT live AND retired_in IS NOT NULL ORDER BY id LIMIT 1)
""")


class Defect(Enum):
    """A defect of what writes runs and progress."""

    NOTHING = "nothing"
    IGNORES_THE_FENCE = "a generation is written although its snapshot is older than the last run"
    FORGETS_TO_RETIRE = "a generation leaves a plan live that it replaces"
    RAISES_VERSIONS = "a generation increments the versions of the plans that it retires"
    LOSES_LINEAGES = "a plan that moves begins a new lineage"
    REWRITES_ALL = "a generation also replaces the plans that do not change"
    IGNORES_KEPT = "a generation plans the units of kept plans again"
    OMITS_KEPT = "the record of a generation does not name the kept plans"
    MISCOUNTS = "the record of a run does not count the kept plans"
    PLANS_ANEW = "a reschedule plans everything that is not kept as a generation does"
    IGNORES_FROZEN = "a reschedule plans before the date until which plans are frozen"
    LOSES_A_PLAN = "a reschedule omits the last study plan"
    UNDOES_ANOTHER = "an undo takes back the run before the last one"
    UNDOES_NOTHING = "an undo finds no run to take back"
    IGNORES_MARKS = "an undo retires plans that were marked since"
    REVIVES_ONE_LESS = "an undo forgets a plan"
    REVIVES_ONE_MORE = "an undo makes a plan live that another run has retired"
    REDO_RETIRES_ANEW = "the plans of a redo do not tell the run that retired them at first"
    MOVES_A_COPY = "a plan that is moved by hand stays live where it was"
    MARKS_ONE_LESS = "of several marks the last one is not written"


@contextmanager
def defective(defect: Defect) -> Iterator[None]:
    """Put the defect into the package of this process during the block, without the fence."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(plan_writing, "_require_rowcount"))
        for owner, name, wrap in PATCHES[defect]:
            stack.enter_context(patch.object(owner, name, wrap(getattr(owner, name))))
        yield


def _one_behind(read: Callable[..., Any]) -> Callable[..., Any]:
    """Return the snapshot before the last one."""
    snapshots: list[Any] = []

    def read_earlier(*arguments: Any, **named: Any) -> Any:
        snapshots.append(read(*arguments, **named))
        return snapshots[-2:][0]

    return read_earlier


def _without_one(update: Callable[..., Any]) -> Callable[..., Any]:
    def update_others(session: Any, fence: Any, retired: Any, *rest: Any, **named: Any) -> None:
        update(session, fence, dict([*retired.items()][1:]), *rest, **named)

    return update_others


def _raising_versions(update: Callable[..., Any]) -> Callable[..., Any]:
    def update_and_raise(session: Any, fence: Any, retired: Any, *rest: Any, **named: Any) -> None:
        update(session, fence, retired, *rest, **named)
        session.execute(RAISE_VERSIONS, {"ids": [plan.id for plan in retired]})

    return update_and_raise


def _without_lineages(insert: Callable[..., Any]) -> Callable[..., Any]:
    def insert_new(connection: Any, fence: Any, plans: Any, **named: Any) -> None:
        insert(connection, fence, [replace(plan, lineage=plan.id) for plan in plans], **named)

    return insert_new


def _rewriting(difference: Callable[..., Any]) -> Callable[..., Any]:
    def all_of_it(*arguments: Any) -> Any:
        found = difference(*arguments)
        new = (*found.new, *(plan for _, plan in found.kept))
        dropped = (*found.dropped, *(stored for stored, _ in found.kept))
        return replace(found, kept=(), new=new, dropped=dropped)

    return all_of_it


def _planning_anew(_: Callable[..., Any]) -> Callable[..., Any]:
    def generate(request: Request, *_: Any, **__: Any) -> Rescheduled:
        found = schedule(request)
        return Rescheduled(**{item.name: getattr(found, item.name) for item in fields(found)})

    return generate


def _without_frozen(reschedule: Callable[..., Any]) -> Callable[..., Any]:
    def reschedule_all(*arguments: Any, **named: Any) -> Any:
        return reschedule(*arguments, **{**named, "frozen_until": None})

    return reschedule_all


def _without_the_last_study(plans: Sequence[Any]) -> tuple[Any, ...]:
    studied = [plan for plan in plans if plan.kind == "study"]
    others = (plan for plan in plans if plan not in studied[-1:])
    return tuple(replace(plan, sequence=number) for number, plan in enumerate(others, 1))


def _recording(**values: Any) -> Wrap:
    """Replace values of the record of a run."""

    def wrap(write: Callable[..., Any]) -> Callable[..., Any]:
        def write_record(*arguments: Any, **named: Any) -> None:
            *others, record = arguments
            write(*others, {**record, **values}, **named)

        return write_record

    return wrap


def _before_the_last(read: Callable[..., Any]) -> Callable[..., Any]:
    def read_earlier(repository: Any, statement: Any, group_id: Any) -> Any:
        found = read(repository, statement, group_id)
        number = 0 if found.record is None else found.record.number - 1
        earlier = undo_statements.with_fence(sa.select(sa.literal(number)))
        return read(repository, earlier, group_id)

    return read_earlier


def _changing(**changes: Callable[[Any], Any]) -> Wrap:
    """Replace fields of what a function returns."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **named: Any) -> Any:
            found = function(*arguments, **named)
            return replace(
                found, **{name: change(getattr(found, name)) for name, change in changes.items()}
            )

        return changed

    return wrap


def _none(_: object) -> tuple[()]:
    return ()


def _reviving_another(revive: Callable[..., Any]) -> Callable[..., Any]:
    def revive_more(session: Any, fence: Any, *rest: Any) -> None:
        revive(session, fence, *rest)
        session.execute(REVIVE_ANOTHER, {"group": fence.group_id})

    return revive_more


def _in_this_run(update: Callable[..., Any]) -> Callable[..., Any]:
    def update_here(session: Any, fence: Any, retired: Any, **_: Any) -> None:
        update(session, fence, retired)

    return update_here


def _unless_moved(retire: Callable[..., Any]) -> Callable[..., Any]:
    def retire_others(repository: Any, plan: Any, reason: RetiredAs) -> None:
        if reason is not RetiredAs.MOVED:
            retire(repository, plan, reason)

    return retire_others


def _one_mark_less(mark_all: Callable[..., Any]) -> Callable[..., Any]:
    def mark_others(service: Any, marks: Any, **named: Any) -> Any:
        return mark_all(service, marks[: len(marks) - 1] or marks, **named)

    return mark_others


PATCHES: Final[Mapping[Defect, tuple[Patch, ...]]] = {
    Defect.NOTHING: (),
    Defect.IGNORES_THE_FENCE: ((PlanGroupRepository, "snapshot", _one_behind),),
    Defect.FORGETS_TO_RETIRE: ((generations, "update_plans", _without_one),),
    Defect.RAISES_VERSIONS: ((generations, "update_plans", _raising_versions),),
    Defect.LOSES_LINEAGES: ((generations, "insert_plans", _without_lineages),),
    Defect.REWRITES_ALL: ((PlanningSnapshot, "difference", _rewriting),),
    Defect.IGNORES_KEPT: ((PlanningSnapshot, "request", _changing(kept=_none)),),
    Defect.OMITS_KEPT: ((generations, "write_record", _recording(kept_ids=[])),),
    Defect.MISCOUNTS: ((generations, "write_record", _recording(kept_count=0)),),
    Defect.PLANS_ANEW: ((rescheduling, "reschedule", _planning_anew),),
    Defect.IGNORES_FROZEN: ((rescheduling, "reschedule", _without_frozen),),
    Defect.LOSES_A_PLAN: ((rescheduling, "reschedule", _changing(plans=_without_the_last_study)),),
    Defect.UNDOES_ANOTHER: (
        (UndoRepository, "_run_to_undo", _before_the_last),
        (UndoRepository, "undone_plans", _changing(changed=_none, occupied=_none)),
    ),
    Defect.UNDOES_NOTHING: ((UndoRepository, "last_run", _changing(record=lambda _: None)),),
    Defect.IGNORES_MARKS: ((UndoRepository, "undone_plans", _changing(changed=_none)),),
    Defect.REVIVES_ONE_LESS: (
        (UndoRepository, "undone_plans", _changing(revived=lambda plans: plans[1:])),
    ),
    Defect.REVIVES_ONE_MORE: ((undo, "revive_plans", _reviving_another),),
    Defect.REDO_RETIRES_ANEW: ((undo, "update_plans", _in_this_run),),
    Defect.MOVES_A_COPY: ((StudentPlanRepository, "retire", _unless_moved),),
    Defect.MARKS_ONE_LESS: ((PlanProgressService, "mark_all", _one_mark_less),),
}
