"""The reschedule of a group's plans: the service, and functions for complete requests."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy.orm import Session

from domain import values
from domain.errors import InvalidInputError
from domain.locking.policy import PlanGroupLock
from domain.models.plan import RunKind
from domain.repositories.generations import GenerationRecord, write_generation
from domain.repositories.plan_groups import PlanGroupRepository
from domain.repositories.plan_rows import GenerationResult
from domain.repositories.snapshot import PlanningSnapshot
from domain.repositories.stored_results import load_stored
from domain.scheduling import types
from domain.scheduling.rescheduling.baseline import Baseline
from domain.scheduling.rescheduling.reschedule import CatchUp, reschedule
from domain.scheduling.result import Rescheduled
from domain.scheduling.schedule import ENGINE_VERSION, check
from domain.services.run_requests import RunRequest, fingerprint_of, reported, require_one_group
from domain.services.service import Service
from domain.unit_of_work.asynchronous import AsyncUnitOfWork
from domain.unit_of_work.unit import UnitOfWork

if TYPE_CHECKING:  # needs greenlet, which only asyncio applications have to install
    from sqlalchemy.ext.asyncio import AsyncSession


class ReschedulingService(Service):
    """Plans what is not done again, with the least change of the plans that stand."""

    def reschedule(
        self,
        *,
        today: date,
        frozen_until: date | None = None,
        catch_up: CatchUp | str = CatchUp.SOONEST,
        requested_by: str | None = None,
        idempotency_key: str | None = None,
        expected_generation: int | None = None,
        fingerprint: str | None = None,
        group_id: UUID | None = None,
    ) -> GenerationResult:
        """Catch up what was missed or lost its time, and leave every other plan as it is.

        Needs a unit of work that holds the group's lock; the caller commits. Plans that are done,
        started, pinned or past are not touched, and neither are plans before ``frozen_until``.
        Planned units are caught up in order on the next days of their content: as soon as possible
        (``soonest``), or over more days (``spread``). Cycles and review days stay those of the last
        generation. If nothing has happened, no plan is written.

        ``difference`` of the result has what was kept, moved, new and dropped, and
        ``quality_before`` the quality of the plans as they stood. Apart from that, the result, the
        key, ``expected_generation`` and ``fingerprint`` are like those of a generation, and so are
        the errors, with ``InvalidInputError`` for ``frozen_until`` and ``catch_up``.
        """
        group_id = self._resolve_group(group_id)

        def run() -> GenerationResult:
            options = _Options.of(today, frozen_until, catch_up)
            request = RunRequest(
                tenant_id=self._uow.tenant_id,
                group_id=group_id,
                operation="reschedule",
                requested_by=requested_by,
                idempotency_key=idempotency_key,
                expected_generation=expected_generation,
                inputs=options.texts,
                fingerprint=fingerprint,
            )
            return self._reschedule(request, options)

        return reported(self._uow, "reschedule", group_id, run)

    def _reschedule(self, request: RunRequest, options: "_Options") -> GenerationResult:
        uow, group_id = self._uow, request.group_id
        if (record := request.find_record(uow)) is not None:
            return load_stored(uow.session, record)
        uow.lock_student(group_id)
        snapshot = uow.groups.snapshot(group_id, with_baseline=True)
        request.require_expected(snapshot.generation)
        request.require_previewed(snapshot, options.today)
        planning_request, computed = _compute(snapshot, options)
        stored = write_generation(
            uow.session,
            snapshot,
            computed,
            GenerationRecord(
                today=options.today,
                requested_by=request.requested_by,
                waited_ms=uow.waited_ms,
                input_hash=types.fingerprint(planning_request),
                engine_version=ENGINE_VERSION,
                idempotency_key=request.idempotency_key,
                request_hash=request.hash,
                kind=RunKind.RESCHEDULED,
                calendar=_own_calendar(snapshot, planning_request, computed),
            ),
        )
        return GenerationResult.of(
            computed,
            group_id=group_id,
            contents=snapshot.contents,
            changes=stored.changes,
            difference=stored.difference,
            quality_before=computed.quality_before,
            generation=stored.number,
            stored=stored.columns,
        )


def reschedule_plans(
    session_factory: Callable[[], Session],
    lock: PlanGroupLock,
    *,
    today: date,
    frozen_until: date | None = None,
    catch_up: CatchUp | str = CatchUp.SOONEST,
    requested_by: str | None = None,
    idempotency_key: str | None = None,
    expected_generation: int | None = None,
    fingerprint: str | None = None,
) -> GenerationResult:
    """Acquire the lock, reschedule the group's plans and commit, as a complete request.

    Raises the errors of ``UnitOfWork`` and ``ReschedulingService.reschedule``, and
    ``InvalidInputError`` if the lock is shared or names several groups.
    """
    require_one_group(lock)
    with UnitOfWork(session_factory, lock=lock) as uow:
        result = ReschedulingService(uow).reschedule(
            today=today,
            frozen_until=frozen_until,
            catch_up=catch_up,
            requested_by=requested_by,
            idempotency_key=idempotency_key,
            expected_generation=expected_generation,
            fingerprint=fingerprint,
        )
        uow.commit()
    return result


async def reschedule_plans_async(
    async_session_factory: "Callable[[], AsyncSession]",
    lock: PlanGroupLock,
    *,
    today: date,
    frozen_until: date | None = None,
    catch_up: CatchUp | str = CatchUp.SOONEST,
    requested_by: str | None = None,
    idempotency_key: str | None = None,
    expected_generation: int | None = None,
    fingerprint: str | None = None,
) -> GenerationResult:
    """Reschedule the group's plans like ``reschedule_plans``, with asyncio."""
    require_one_group(lock)
    async with AsyncUnitOfWork(async_session_factory, lock=lock) as uow:
        result = await uow.run(
            lambda inner: ReschedulingService(inner).reschedule(
                today=today,
                frozen_until=frozen_until,
                catch_up=catch_up,
                requested_by=requested_by,
                idempotency_key=idempotency_key,
                expected_generation=expected_generation,
                fingerprint=fingerprint,
            )
        )
        await uow.commit()
    return result


def preview_reschedule(
    session: Session,
    *,
    tenant_id: UUID,
    group_id: UUID,
    today: date,
    frozen_until: date | None = None,
    catch_up: CatchUp | str = CatchUp.SOONEST,
) -> GenerationResult:
    """Return the result that ``reschedule`` would have now, without a lock and without writing.

    It takes one round trip on any Session; the caller ends the transaction. Raises the errors of
    ``preview_plans``.
    """
    options = _Options.of(today, frozen_until, catch_up)
    snapshot = PlanGroupRepository(session, tenant_id).snapshot(group_id, with_baseline=True)
    _, computed = _compute(snapshot, options)
    changed = snapshot.difference(computed, today)
    return GenerationResult.of(
        computed,
        group_id=group_id,
        contents=snapshot.contents,
        changes=changed.changes(others=len(snapshot.kept(today))),
        difference=changed,
        quality_before=computed.quality_before,
        fingerprint=fingerprint_of(snapshot, today, ("reschedule", *options.texts)),
    )


@dataclass(frozen=True, slots=True)
class _Options:
    """The validated options of a reschedule."""

    today: date
    frozen_until: date | None
    catch_up: CatchUp

    @classmethod
    def of(cls, today: date, frozen_until: date | None, catch_up: str) -> "_Options":
        """Validate the options; raises ``InvalidInputError``."""
        values.validate("today", values.civil_date, today)
        if frozen_until is not None:
            values.validate("frozen_until", values.civil_date, frozen_until)
        return cls(
            today, frozen_until, values.validate("catch_up", values.member(CatchUp), catch_up)
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """The options as texts, for the hash of a request."""
        return self.today.isoformat(), str(self.frozen_until), self.catch_up.value


def _own_calendar(
    snapshot: PlanningSnapshot, request: types.Request, computed: Rescheduled
) -> Mapping[str, Any] | None:
    """Return the calendar that later reschedules keep; ``None`` if they keep an earlier one."""
    return None if snapshot.baseline else Baseline.of(request, computed.plans).calendar_json()


def _compute(snapshot: PlanningSnapshot, options: _Options) -> tuple[types.Request, Rescheduled]:
    """Return the request of the snapshot, and the reschedule of its plans."""
    snapshot.fence.require_generatable()
    request = snapshot.request(options.today)
    check(request)
    if options.frozen_until is not None and options.frozen_until > request.period_end:
        raise InvalidInputError.of("frozen_until", "must not be after the end of the period")
    planned = [live.stored.plan for live in snapshot.plans if not live.is_kept(options.today)]
    baseline = snapshot.baseline or Baseline.of(request, planned)
    return request, reschedule(
        request, planned, baseline, frozen_until=options.frozen_until, how=options.catch_up
    )
