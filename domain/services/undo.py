"""Undo of the last generation or reschedule of a group, and of the last undo."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from domain import errors
from domain.models import PlanGeneration
from domain.models.plan import RunKind
from domain.repositories.stored_results import changes_of
from domain.repositories.undo import RunToUndo, UndoRecord, UndoRepository
from domain.scheduling.difference import PlanChanges
from domain.services.run_requests import RunRequest, reported
from domain.services.service import Service


@dataclass(frozen=True, slots=True)
class UndoResult:
    """The outcome of an undo: its own number, that of the run that it took back, and the changes.

    ``repeated`` is true if a request with the same idempotency key was answered before, so that
    nothing was undone this time.
    """

    group_id: UUID
    generation: int
    undone: int
    changes: PlanChanges
    repeated: bool = False

    @property
    def rows(self) -> int:
        """The number of plans that are live again."""
        return self.changes.moved + self.changes.new

    @property
    def unplaced_ranges(self) -> int:
        """Not known of an undo: 0."""
        return 0


class UndoService(Service):
    """Takes runs back, the last one first.

    Both methods need a unit of work that holds the group's lock, and acquire the student's lock;
    the caller commits. An undo is recorded as a run with a number of its own. It changes plans
    only: edits of the group, its contents and its time stay as they are.

    ``idempotency_key`` and ``expected_generation`` have the meaning that they have for a
    generation; a repeated key raises ``EditedMeanwhileError`` if the undo was itself undone.

    Both raise ``UndoNotPossibleError``, ``PlanGroupNotFoundError``,
    ``PlanGroupNotGeneratableError`` unless the group is saved or active, ``InvalidInputError``,
    ``EditedMeanwhileError``, ``IdempotencyMismatchError``, ``LockNotHeldError``,
    ``GeneratedMeanwhileError``, ``StudentPlansOverlapError``, and those of
    ``UnitOfWork.lock_student``. Nothing is written after any of these errors.
    """

    def undo(
        self,
        *,
        requested_by: str | None = None,
        idempotency_key: str | None = None,
        expected_generation: int | None = None,
        group_id: UUID | None = None,
    ) -> UndoResult:
        """Return to the plans before the last generation or reschedule that is in effect.

        The plans that it made are retired, and those that it retired are live again, with the
        same ids, versions and all other values, except for the week and cycle of a plan, which
        follow the calendar. Runs that changed no plan are skipped, and so are runs that were
        undone: repeated calls take back one run after the other.

        It is possible as long as every plan that the run made is as it made it, and the time and
        the units of the plans that return are free. Marks on other plans stay.
        """
        return self._take_back("undo", requested_by, idempotency_key, expected_generation, group_id)

    def redo(
        self,
        *,
        requested_by: str | None = None,
        idempotency_key: str | None = None,
        expected_generation: int | None = None,
        group_id: UUID | None = None,
    ) -> UndoResult:
        """Take back the last undo: return to the plans before it.

        It is possible under the same conditions, until another generation or reschedule changes
        a plan. Repeated calls take back one undo after the other.
        """
        return self._take_back("redo", requested_by, idempotency_key, expected_generation, group_id)

    def _take_back(
        self,
        operation: Literal["undo", "redo"],
        requested_by: str | None,
        idempotency_key: str | None,
        expected_generation: int | None,
        group_id: UUID | None,
    ) -> UndoResult:
        group_id = self._resolve_group(group_id)

        def run() -> UndoResult:
            request = RunRequest(
                tenant_id=self._uow.tenant_id,
                group_id=group_id,
                operation=operation,
                requested_by=requested_by,
                idempotency_key=idempotency_key,
                expected_generation=expected_generation,
            )
            return self._write(request)

        return reported(self._uow, operation, group_id, run)

    def _write(self, request: RunRequest) -> UndoResult:
        uow = self._uow
        if (record := request.find_record(uow)) is not None:
            return _repeated(record)
        uow.lock_student(request.group_id)
        repository = UndoRepository(uow.session, uow.tenant_id)
        find = repository.last_run if request.operation == "undo" else repository.last_undo
        run = find(request.group_id)
        request.require_expected(run.fence.generation)
        undone = _require_undoable(run, request.operation)
        plans = repository.undone_plans(run.fence, undone)
        if not plans.is_complete:
            raise errors.UndoNotPossibleError(
                group_id=request.group_id, reason="history_removed", generation=undone.number
            )
        if plans.changed or plans.occupied:
            raise errors.UndoNotPossibleError(
                group_id=request.group_id,
                reason="plans_changed" if plans.changed else "time_occupied",
                generation=undone.number,
                plans=plans.changed or plans.occupied,
            )
        new_record = UndoRecord(
            requested_by=request.requested_by,
            waited_ms=uow.waited_ms,
            idempotency_key=request.idempotency_key,
            request_hash=request.hash,
        )
        changes = repository.take_back(run, plans, new_record)
        return UndoResult(request.group_id, run.fence.number, undone.number, changes)


def _require_undoable(run: RunToUndo, operation: str) -> PlanGeneration:
    run.fence.require_generatable()
    group_id, record = run.fence.group_id, run.record
    if record is None:
        raise errors.UndoNotPossibleError(
            group_id=group_id,
            reason="nothing_to_redo" if operation == "redo" else "nothing_to_undo",
        )
    if record.made_ids is None:
        raise errors.UndoNotPossibleError(
            group_id=group_id, reason="history_removed", generation=record.number
        )
    return record


def _repeated(record: PlanGeneration) -> UndoResult:
    if record.kind is not RunKind.UNDONE or record.undoes is None or record.undone_in is not None:
        raise errors.EditedMeanwhileError(group_id=record.group_id)
    return UndoResult(
        record.group_id, record.number, record.undoes, changes_of(record), repeated=True
    )
