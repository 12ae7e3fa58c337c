"""A request for several locks acquires them in key order, all or none, without deadlocks."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GenerationResult, PlanGenerationService, PlanGroup, PlanGroupLock, UnitOfWork
from domain.errors import LockTimeoutError
from domain.locking import plan_group_lock_key
from domain.locking.policy import student_lock_key
from domain.testing import assert_lock_free, contend
from domain.testing.contention import TIMEOUT, advisory_locks, backends_at_key, eventually
from tests.integration.storing import FIRST, enter, stored_group

Factory = sessionmaker[Session]
LONG = timedelta(seconds=TIMEOUT)
OVERLAPS = sa.text(
    "SELECT count(*) FROM studyplan.student_plans a JOIN studyplan.student_plans b "
    "ON a.student_id = b.student_id AND a.date = b.date AND a.id < b.id AND a.live AND b.live "
    "AND a.start_minute < b.end_minute AND b.start_minute < a.end_minute "
    "WHERE a.student_id = :student"
)
TRANSACTIONS = 200


@pytest.fixture
def groups(session_factory: Factory) -> list[PlanGroup]:
    """Eight groups of four students of one tenant."""
    tenant_id, students = uuid4(), [uuid4() for _ in range(4)]
    return [
        stored_group(session_factory, tenant_id=tenant_id, student_id=students[i % 4])
        for i in range(8)
    ]


@pytest.fixture
def siblings(session_factory: Factory) -> tuple[PlanGroup, PlanGroup]:
    """Two groups of one student."""
    one = stored_group(session_factory)
    other = stored_group(session_factory, tenant_id=one.tenant_id, student_id=one.student_id)
    return one, other


def generated(
    factory: Factory, group: PlanGroup, both_entered: threading.Barrier
) -> GenerationResult:
    """Generate; both requests hold their group's lock before either requests the student's."""
    with UnitOfWork(factory, lock=PlanGroupLock(group.tenant_id, group.id, wait=LONG)) as uow:
        both_entered.wait(TIMEOUT)
        result = PlanGenerationService(uow).generate(today=FIRST)
        uow.commit()
    return result


def test_duplicate_group_ids_are_locked_once(
    engine: sa.Engine, session_factory: Factory, tenant_id: UUID
) -> None:
    ids = [uuid4() for _ in range(3)]
    with UnitOfWork(session_factory, lock=PlanGroupLock.of(tenant_id, ids * 3, wait=LONG)):
        assert advisory_locks(engine) == 3
    for group_id in ids:
        assert_lock_free(engine, group_id)


def test_wait_for_one_lock_holds_only_smaller_keys_and_a_timeout_releases_them(
    engine: sa.Engine, session_factory: Factory
) -> None:
    tenant_id = uuid4()
    stored = [stored_group(session_factory, tenant_id=tenant_id).id for _ in range(3)]
    low, middle, high = sorted(stored, key=plan_group_lock_key)
    held = PlanGroupLock(tenant_id, middle)
    with UnitOfWork(session_factory, lock=held), ThreadPoolExecutor(1) as pool:
        wait = timedelta(milliseconds=400)
        several = PlanGroupLock.of(tenant_id, [high, middle, low], wait=wait)
        waiting = pool.submit(enter, session_factory, several)
        eventually(lambda: bool(_waiters(engine, middle)), "the request waits for the middle lock")
        assert backends_at_key(engine, plan_group_lock_key(low)) == _waiters(engine, middle)
        assert_lock_free(engine, high)
        with pytest.raises(LockTimeoutError) as late:
            waiting.result(TIMEOUT)
        assert late.value.group_id == middle
        assert advisory_locks(engine) == 1, "only the lock of the holder remains"


def test_transactions_with_groups_in_random_order_do_not_deadlock(
    engine: sa.Engine, session_factory: Factory, groups: list[PlanGroup]
) -> None:
    def work(seed: int) -> int:
        chosen = Random(seed).sample(groups, 4)  # noqa: S311 - not for cryptography
        lock = PlanGroupLock.of(groups[0].tenant_id, [group.id for group in chosen], wait=LONG)
        with UnitOfWork(session_factory, lock=lock) as uow:
            students = {uow.lock_student(group.id) for group in chosen}
            assert students == {group.student_id for group in chosen}
            uow.commit()
        return 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, range(TRANSACTIONS))) == TRANSACTIONS
    assert advisory_locks(engine) == 0


def test_generations_for_two_groups_of_one_student_succeed_one_after_the_other(
    engine: sa.Engine, session_factory: Factory, siblings: tuple[PlanGroup, PlanGroup]
) -> None:
    remaining, both_entered = iter(siblings), threading.Barrier(2)
    answers = contend(2, lambda _: generated(session_factory, next(remaining), both_entered))
    assert not answers.refusals
    assert {result.group_id for result in answers.results} == {group.id for group in siblings}
    with engine.connect() as connection:
        assert connection.scalar(OVERLAPS, {"student": siblings[0].student_id}) == 0


def test_generation_for_the_second_group_waits_for_the_students_lock(
    engine: sa.Engine, session_factory: Factory, siblings: tuple[PlanGroup, PlanGroup]
) -> None:
    one, other = siblings
    key = student_lock_key(one.tenant_id, one.student_id)
    barrier_of_one = threading.Barrier(1)
    with ThreadPoolExecutor(1) as pool:
        with UnitOfWork(session_factory, lock=PlanGroupLock(one.tenant_id, one.id)) as uow:
            uow.lock_student(one.id)
            waiting = pool.submit(generated, session_factory, other, barrier_of_one)
            eventually(
                lambda: len(backends_at_key(engine, key, granted=False)) == 1,
                "the request for the other group waits for the student's lock",
            )
            assert not waiting.done()
            uow.commit()
        assert waiting.result(TIMEOUT).generation == 1


def test_generations_of_a_students_groups_neither_deadlock_nor_overlap(
    engine: sa.Engine, session_factory: Factory, siblings: tuple[PlanGroup, PlanGroup]
) -> None:
    barrier_of_one = threading.Barrier(1)
    with ThreadPoolExecutor(6) as pool:
        results = list(
            pool.map(
                lambda i: generated(session_factory, siblings[i % 2], barrier_of_one), range(24)
            )
        )
    assert sorted(result.generation or 0 for result in results) == sorted([*range(1, 13)] * 2)
    with engine.connect() as connection:
        assert connection.scalar(OVERLAPS, {"student": siblings[0].student_id}) == 0


def _waiters(engine: sa.Engine, group_id: UUID) -> list[int]:
    return backends_at_key(engine, plan_group_lock_key(group_id), granted=False)
