"""The service that records the progress of plans, pins them and moves them by hand."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID, uuid4

from domain import values
from domain.errors import EditedMeanwhileError, FieldError, InvalidInputError
from domain.models import PlanState, StudentPlan
from domain.models.plan import DONE_STATES, UNDONE_STATES, RetiredAs
from domain.repositories.snapshot import PlanningSnapshot, SnapshotPlan
from domain.scheduling.difference import CALENDAR
from domain.scheduling.moving import move
from domain.scheduling.types import MINUTES_PER_DAY, Busy, PlanKind
from domain.services.service import Service
from domain.services.writing import RowVersion, flush, require_version, save

MAX_MARKS: Final = 1000
"""The maximum number of marks in one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """The student's progress with a plan, as ``PlanProgressService.mark`` takes it."""

    plan_id: UUID
    expected_version: int
    state: PlanState | str
    done_through: int | None = None
    actual_minutes: int | None = None
    done_at: datetime | None = None


class PlanProgressService(Service):
    """Marks, pins and moves live plans, in a group of any state.

    All methods need the group's lock, so that no run replaces the plan at the same time. For marks
    and pins a shared lock is sufficient, ``PlanGroupLock(…, shared=True)``, which allows
    simultaneous marks; ``expected_version`` detects simultaneous marks of the same plan.
    ``mark_missed`` and ``move`` make time free or occupy it: they need the exclusive lock and
    acquire the student's lock. Later generations keep plans that are part done or done, and from
    their ``today`` on plans that are started or pinned.

    All methods raise ``StudentPlanNotFoundError`` (also for a plan of another tenant or
    another group), ``EditedMeanwhileError`` if the plan does not have the
    ``expected_version`` or is no longer live, ``InvalidInputError`` for values of a wrong type, and
    ``LockNotHeldError``. For a group that the tenant does not
    have, ``mark_missed`` and ``move`` raise ``PlanGroupNotFoundError``, because they acquire the
    lock of its student first. ``GeneratedMeanwhileError`` is raised if the database finds the
    units of a plan in another live plan, which only a writer without the lock can cause. Nothing
    is written after any of these errors.
    """

    def mark(
        self,
        *,
        plan_id: UUID,
        expected_version: int,
        state: PlanState | str,
        done_through: int | None = None,
        actual_minutes: int | None = None,
        done_at: datetime | None = None,
        group_id: UUID | None = None,
    ) -> RowVersion:
        """Set the student's progress with a plan; any state may follow any other.

        ``done_through`` is the last completed unit. It is required with ``PART_DONE`` and is not
        allowed with any other state; it is at least the plan's first unit and less than its last.
        Only with ``PART_DONE`` and ``DONE``, ``actual_minutes`` (0 to 1440) may say how long it
        took, and ``done_at`` (with a time zone, by default now) when it was done.

        In addition to the errors of the class, this raises ``InvalidInputError`` for these fields,
        and for ``state`` if units that would count as part of the plan again have been planned
        elsewhere since they were left undone.
        """
        mark = Mark(
            plan_id=plan_id,
            expected_version=expected_version,
            state=state,
            done_through=done_through,
            actual_minutes=actual_minutes,
            done_at=done_at,
        )
        return self._mark([mark], group_id, paths=[""])[0]

    def mark_all(self, marks: Sequence[Mark], *, group_id: UUID | None = None) -> list[RowVersion]:
        """Set the progress with several plans of a group, all of them or none.

        Returns the new versions in the order of the marks. Raises as ``mark`` does; the fields of
        errors begin with ``marks[i].``. At most ``MAX_MARKS`` plans, each of them once.
        """
        given: object = marks  # callers without a type checker may pass anything
        if not isinstance(given, Sequence) or not 1 <= len(given) <= MAX_MARKS:
            raise InvalidInputError.of("marks", f"must have 1 to {MAX_MARKS} marks")
        InvalidInputError.raise_if_any(
            FieldError(f"marks[{index}]", "must be a Mark")
            for index, mark in enumerate(given)
            if not isinstance(mark, Mark)
        )
        return self._mark(marks, group_id, paths=[f"marks[{i}]." for i in range(len(marks))])

    def pin(
        self,
        *,
        plan_id: UUID,
        expected_version: int,
        pinned: bool = True,
        group_id: UUID | None = None,
    ) -> RowVersion:
        """Pin a plan, so that generations keep it; ``pinned=False`` removes the pin."""
        group_id = self._resolve_group(group_id)
        self._uow.require_lock(group_id, shared=True)
        plan = self._uow.plans.get(group_id, plan_id)
        _require_live(plan, expected_version)
        plan.pinned = values.validate("pinned", values.flag, pinned)
        return save(self._uow, plan, plan.group_id)

    def mark_missed(
        self, *, plan_id: UUID, expected_version: int, group_id: UUID | None = None
    ) -> None:
        """Retire a plan that the student will not do, so that a later run plans its units again.

        The plan is neither part done nor done; its day need not be past. Its time becomes free, and
        its lineage ends.

        Also raises the errors of ``UnitOfWork.lock_student``.
        """
        group_id = self._resolve_group(group_id)
        self._uow.lock_student(group_id)
        plan = self._uow.plans.get(group_id, plan_id)
        _require_live(plan, expected_version)
        _require_undone(plan)
        self._uow.plans.retire(plan, RetiredAs.MISSED)

    def move(
        self,
        *,
        plan_id: UUID,
        expected_version: int,
        date: date,
        start_minute: int,
        today: date,
        group_id: UUID | None = None,
    ) -> RowVersion:
        """Move a plan to another time, and pin it there; return the id and version of the new row.

        The plan is neither part done nor done. Its units and minutes stay. The new row has the
        same lineage; the old one is retired. The new time has to be free study time or self-study
        time on ``today`` or later. The order of a content's plans and of its reviews is not
        checked.

        In addition to the errors of the class, this raises ``InvalidInputError`` for ``date``,
        ``start_minute`` and ``today``, ``StudentPlansOverlapError``, and the errors of
        ``UnitOfWork.lock_student``.
        """
        uow, group_id = self._uow, self._resolve_group(group_id)
        day = values.validate("date", values.civil_date, date)
        start = values.validate("start_minute", values.integer(0, 1439), start_minute)
        values.validate("today", values.civil_date, today)
        uow.lock_student(group_id)
        plan = uow.plans.get(group_id, plan_id)
        _require_live(plan, expected_version)
        _require_undone(plan)
        snapshot = uow.groups.snapshot(group_id)
        found = next(live for live in snapshot.plans if live.stored.id == plan.id)
        moved = move(
            snapshot.request(today), found.stored.plan, day, start, _taken(snapshot, found)
        )
        changes = {
            **{name: getattr(moved, name) for name in ("date", "start_minute", "end_minute")},
            **{name: getattr(moved, name) for name in ("reserve", *CALENDAR)},
        }
        # The run in which the new row begins is the last one; that run did not make it.
        new = plan.copied(
            id=uuid4(), generation=snapshot.generation, sequence=None, pinned=True, **changes
        )
        uow.plans.retire(plan, RetiredAs.MOVED)
        uow.session.add(new)
        return save(uow, new, group_id)

    def _mark(
        self, marks: Sequence[Mark], group_id: UUID | None, paths: Sequence[str]
    ) -> list[RowVersion]:
        group_id = self._resolve_group(group_id)
        self._uow.require_lock(group_id, shared=True)
        InvalidInputError.raise_if_any(_key_errors(marks, paths))
        plans = self._uow.plans.get_all(group_id, [mark.plan_id for mark in marks])
        for plan, mark in zip(plans, marks, strict=True):
            _require_live(plan, mark.expected_version)
        checked = list(zip(plans, marks, paths, strict=True))
        InvalidInputError.raise_if_any(
            error for plan, mark, path in checked for error in _mark_errors(plan, mark, path)
        )
        again = self._planned_again(group_id, checked)
        InvalidInputError.raise_if_any(
            FieldError(f"{path}state", "would include units that have been planned again")
            for plan, _, path in checked
            if plan.id in again
        )
        for plan, mark, _ in checked:
            _assign(plan, mark)
        flush(self._uow, group_id)
        return [RowVersion(plan.id, plan.version) for plan in plans]

    def _planned_again(
        self, group_id: UUID, checked: Sequence[tuple[StudentPlan, Mark, str]]
    ) -> set[UUID]:
        """Return the ids of the plans whose marks would give them units that others have by now.

        These are units that were left undone by an earlier mark. Without this check, the exclusion
        constraint on units would refuse the write.
        """
        added = [(plan, units) for plan, mark, _ in checked if (units := _added_units(plan, mark))]
        if not added:
            return set()
        contents = {plan.content_id for plan, _ in added}
        return {
            plan.id
            for _, content_id, first, last in self._uow.plans.studied_units(group_id, contents)
            for plan, units in added
            if content_id == plan.content_id
            if first < units.stop and units.start <= last
        }


def _require_live(plan: StudentPlan, expected_version: int) -> None:
    """Raise ``EditedMeanwhileError`` unless the plan is as the caller has read it.

    Retiring a plan leaves its version as it is.
    """
    require_version(plan, expected_version, plan.group_id)
    if not plan.live:
        raise EditedMeanwhileError(group_id=plan.group_id)


def _require_undone(plan: StudentPlan) -> None:
    if plan.state not in UNDONE_STATES:
        raise InvalidInputError.of("plan_id", "must be the id of a plan of which nothing is done")


def _key_errors(marks: Sequence[Mark], paths: Sequence[str]) -> Iterator[FieldError]:
    """Yield an error for each invalid id and version, and for each plan that is marked again."""
    seen = set()
    for mark, path in zip(marks, paths, strict=True):
        yield from _value_errors(
            f"{path}expected_version", values.integer(0, values.MAX_INTEGER), mark.expected_version
        )
        plan_id: object = mark.plan_id
        if not isinstance(plan_id, UUID):
            yield FieldError(f"{path}plan_id", "must be a UUID")
        elif plan_id in seen:
            yield FieldError(f"{path}plan_id", "must not be given twice")
        else:
            seen.add(plan_id)


def _mark_errors(plan: StudentPlan, mark: Mark, path: str) -> Iterator[FieldError]:
    """Yield an error for each invalid field of a mark."""
    found = list(_value_errors(f"{path}state", values.member(PlanState), mark.state))
    if found:
        yield from found
        return
    if message := _done_through_error(plan, mark.state, mark.done_through):
        yield FieldError(f"{path}done_through", message)
    readers = {"actual_minutes": values.integer(0, MINUTES_PER_DAY), "done_at": values.instant}
    for name, read in readers.items():
        value = getattr(mark, name)
        if value is None:
            continue
        yield from _value_errors(f"{path}{name}", read, value)
        if mark.state not in DONE_STATES:
            yield FieldError(f"{path}{name}", "is allowed only with part_done and done")


def _value_errors(
    field: str, read: Callable[[object], object], value: object
) -> Iterator[FieldError]:
    try:
        values.validate(field, read, value)
    except InvalidInputError as error:
        yield from error.errors


def _done_through_error(plan: StudentPlan, state: str, done_through: object) -> str | None:
    if state != PlanState.PART_DONE:
        return None if done_through is None else "is allowed only with part_done"
    first, last = plan.first_unit, plan.last_unit
    if type(done_through) is int and first <= done_through < last:
        return None
    if first == last:
        return "is not possible: a plan of one unit cannot be part done"
    return f"must be from {first} to {last - 1}, less than the plan's last unit"


def _added_units(plan: StudentPlan, mark: Mark) -> range:
    """Return the units that a study plan has after the mark and does not have now."""
    if plan.kind is not PlanKind.STUDY:
        return range(0)
    last = plan.last_unit if mark.done_through is None else mark.done_through
    return range(plan.last_kept_unit + 1, last + 1)


def _assign(plan: StudentPlan, mark: Mark) -> None:
    plan.state = PlanState(mark.state)
    plan.done_through = mark.done_through
    plan.actual_minutes = mark.actual_minutes
    is_done = plan.state in DONE_STATES
    plan.done_at = (mark.done_at or datetime.now(UTC)) if is_done else None


def _taken(snapshot: PlanningSnapshot, moved: SnapshotPlan) -> Iterator[Busy]:
    """Yield the times of the student's other live plans in the period."""
    yield from snapshot.settings.busy
    for live in snapshot.plans:
        if live is not moved:
            plan = live.stored.plan
            yield Busy(plan.date, plan.start_minute, plan.end_minute)
