"""The generation of a group's plans: the service, and functions for complete requests."""

from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING, TypeAlias
from uuid import UUID

from sqlalchemy.orm import Session

from domain import values
from domain.locking.policy import PlanGroupLock
from domain.repositories.generations import GenerationRecord, write_generation
from domain.repositories.plan_groups import PlanGroupRepository
from domain.repositories.plan_rows import GenerationResult
from domain.repositories.snapshot import PlanningSnapshot
from domain.repositories.stored_results import load_stored
from domain.scheduling import types
from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.result import Schedule
from domain.scheduling.schedule import ENGINE_VERSION, schedule
from domain.services.run_requests import RunRequest, fingerprint_of, reported, require_one_group
from domain.services.service import Service
from domain.unit_of_work.asynchronous import AsyncUnitOfWork
from domain.unit_of_work.unit import UnitOfWork

if TYPE_CHECKING:  # needs greenlet, which only asyncio applications have to install
    from sqlalchemy.ext.asyncio import AsyncSession

Compute: TypeAlias = Callable[[types.Request], Schedule]


class PlanGenerationService(Service):
    """Generates a group's plans.

    :param compute: the function that computes the schedule, by default that of this package.
    """

    def __init__(self, uow: UnitOfWork, *, compute: Compute = schedule) -> None:
        super().__init__(uow)
        self._compute = compute

    def generate(
        self,
        *,
        today: date,
        requested_by: str | None = None,
        idempotency_key: str | None = None,
        expected_generation: int | None = None,
        fingerprint: str | None = None,
        group_id: UUID | None = None,
    ) -> GenerationResult:
        """Plan what is not done from ``today`` on, and write the difference from the live plans.

        Needs a unit of work that holds the group's lock; the caller commits. ``today`` is the date
        in the group's time zone. Done and part done plans are kept, and from ``today`` on started
        and pinned ones; others in the past become missed. Plans at the same place are not written.

        A request with the same ``idempotency_key`` (1 to 200 characters, unique within the tenant)
        and input returns the first result again, as ``repeated``. Only then ``expected_generation``
        is checked, the number of the last run that the caller has read (0 before the first), and
        ``fingerprint``, that of the preview to confirm. ``EditedMeanwhileError`` is raised if there
        is a later run, if the preview no longer holds, or if the run of the key was undone.

        Also raises ``PlanGroupNotFoundError``, ``PlanGroupNotGeneratableError``,
        ``InvalidInputError``, subclasses of ``SchedulingError``, ``LockNotHeldError``,
        ``GeneratedMeanwhileError``, ``StudentPlansOverlapError``, ``IdempotencyMismatchError``, and
        the errors of ``UnitOfWork.lock_student``. After any error nothing is stored. The outcome is
        reported to ``domain.events``.
        """
        group_id = self._resolve_group(group_id)

        def run() -> GenerationResult:
            values.validate("today", values.civil_date, today)
            request = RunRequest(
                tenant_id=self._uow.tenant_id,
                group_id=group_id,
                operation="generate",
                requested_by=requested_by,
                idempotency_key=idempotency_key,
                expected_generation=expected_generation,
                inputs=(today.isoformat(),),
                fingerprint=fingerprint,
            )
            return self._generate(request, today)

        return reported(self._uow, "generate", group_id, run)

    def _generate(self, request: RunRequest, today: date) -> GenerationResult:
        uow, group_id = self._uow, request.group_id
        if (record := request.find_record(uow)) is not None:
            return load_stored(uow.session, record)
        # The snapshot is read only after both locks are held: the group's lock excludes edits and
        # other generations of the group, the student's lock excludes generations of the student's
        # other groups and changes of classes and exclusions.
        uow.lock_student(group_id)
        snapshot = uow.groups.snapshot(group_id)
        request.require_expected(snapshot.generation)
        request.require_previewed(snapshot, today)
        planning_request, computed = _plan(snapshot, today, self._compute)
        new_record = GenerationRecord(
            today=today,
            requested_by=request.requested_by,
            waited_ms=uow.waited_ms,
            input_hash=types.fingerprint(planning_request),
            engine_version=ENGINE_VERSION,
            idempotency_key=request.idempotency_key,
            request_hash=request.hash,
            calendar=Baseline.of(planning_request, computed.plans).calendar_json(),
        )
        stored = write_generation(uow.session, snapshot, computed, new_record)
        return GenerationResult.of(
            computed,
            group_id=group_id,
            contents=snapshot.contents,
            changes=stored.changes,
            difference=stored.difference,
            generation=stored.number,
            stored=stored.columns,
        )


def generate_plans(
    session_factory: Callable[[], Session],
    lock: PlanGroupLock,
    *,
    today: date,
    requested_by: str | None = None,
    idempotency_key: str | None = None,
    expected_generation: int | None = None,
    fingerprint: str | None = None,
) -> GenerationResult:
    """Acquire the lock, generate the group's plans and commit, as a complete request.

    Raises the errors of ``UnitOfWork`` and ``PlanGenerationService.generate``, and
    ``InvalidInputError`` if the lock is shared or names several groups.
    """
    require_one_group(lock)
    with UnitOfWork(session_factory, lock=lock) as uow:
        result = PlanGenerationService(uow).generate(
            today=today,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            expected_generation=expected_generation,
            fingerprint=fingerprint,
        )
        uow.commit()
    return result


async def generate_plans_async(
    async_session_factory: "Callable[[], AsyncSession]",
    lock: PlanGroupLock,
    *,
    today: date,
    requested_by: str | None = None,
    idempotency_key: str | None = None,
    expected_generation: int | None = None,
    fingerprint: str | None = None,
) -> GenerationResult:
    """Generate the group's plans like ``generate_plans``, with asyncio."""
    require_one_group(lock)
    async with AsyncUnitOfWork(async_session_factory, lock=lock) as uow:
        result = await uow.run(
            lambda inner: PlanGenerationService(inner).generate(
                today=today,
                requested_by=requested_by,
                idempotency_key=idempotency_key,
                expected_generation=expected_generation,
                fingerprint=fingerprint,
            )
        )
        await uow.commit()
    return result


def preview_plans(
    session: Session, *, tenant_id: UUID, group_id: UUID, today: date, compute: Compute = schedule
) -> GenerationResult:
    """Return the result that ``generate`` would have now, without a lock and without writing.

    It takes one round trip on any Session; the caller ends the transaction. Raises
    ``PlanGroupNotFoundError``, ``PlanGroupNotGeneratableError``, ``InvalidInputError`` and
    subclasses of ``SchedulingError``.
    """
    values.validate("today", values.civil_date, today)
    snapshot = PlanGroupRepository(session, tenant_id).snapshot(group_id)
    _, computed = _plan(snapshot, today, compute)
    changed = snapshot.difference(computed, today)
    return GenerationResult.of(
        computed,
        group_id=group_id,
        contents=snapshot.contents,
        changes=changed.changes(others=len(snapshot.kept(today))),
        difference=changed,
        fingerprint=fingerprint_of(snapshot, today, ("generate", today.isoformat())),
    )


def _plan(
    snapshot: PlanningSnapshot, today: date, compute: Compute
) -> tuple[types.Request, Schedule]:
    snapshot.fence.require_generatable()
    request = snapshot.request(today)
    return request, compute(request)
