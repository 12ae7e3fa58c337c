"""A client that loses its server at the commit cannot know which plans there are.

The server can, and whichever they are, they are whole. What tells the client is to ask
again, under an idempotency key.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGroupLock, generate_plans
from domain.testing import Step, assert_lock_held
from domain.testing.contention import TIMEOUT, cancel_backend, eventually, terminate_backend
from tests.faults.stage import BROKEN, Outcome, Stage
from tests.integration.storing import FIRST, generate, traces

COMMIT = b"COMMIT\0"


@pytest.fixture
def waiting_at_the_end(stage: Stage) -> Iterator[sa.Engine]:
    """Its commits are on disk, and wait for a standby before they say so."""
    options = {"options": "-c synchronous_commit=on"}
    engine = sa.create_engine(stage.engine.url, connect_args=options, pool_pre_ping=True)
    yield engine
    engine.dispose()


def test_a_commit_that_is_lost_on_its_way_to_the_server_changes_nothing(stage: Stage) -> None:
    group = stage.planned_group(Step.DURING_COMMIT)
    before = traces(stage.aside, group.id)
    stage.proxy.cut_before(COMMIT)
    with pytest.raises(BROKEN):
        generate(stage.factory, group)
    stage.assert_locks_are_free(group)
    assert stage.outcome(group, before) is Outcome.OLD
    stage.assert_the_next_request_succeeds(group)


def test_a_commit_whose_answer_is_lost_on_its_way_back_is_done(stage: Stage) -> None:
    group = stage.planned_group(Step.DURING_COMMIT)
    before = traces(stage.aside, group.id)
    stage.proxy.cut_after(COMMIT)
    with pytest.raises(BROKEN):
        generate(stage.factory, group)
    stage.assert_locks_are_free(group)
    assert stage.outcome(group, before) is Outcome.NEW
    stage.assert_the_next_request_succeeds(group)


@pytest.mark.parametrize("lose", ["cut_before", "cut_after"])
def test_a_request_repeated_under_its_key_after_a_doubtful_commit_generates_once(
    stage: Stage, lose: str
) -> None:
    group = stage.planned_group(Step.DURING_COMMIT)
    before = traces(stage.aside, group.id)

    def request() -> Any:
        return generate_plans(
            stage.factory,
            PlanGroupLock(group.tenant_id, group.id),
            today=FIRST,
            idempotency_key=f"{lose} {group.id}",
        )

    getattr(stage.proxy, lose)(COMMIT)
    with pytest.raises(BROKEN):
        request()
    stage.assert_locks_are_free(group)
    assert request().generation == before[0] + 1
    assert stage.outcome(group, before) is Outcome.NEW


@pytest.mark.parametrize("end", [terminate_backend, cancel_backend])
def test_a_commit_that_is_stopped_after_it_is_on_disk_stays(
    stage: Stage, waiting_at_the_end: sa.Engine, end: Callable[[sa.Engine, int], None]
) -> None:
    _strike_at_the_end(stage, waiting_at_the_end, lambda pid: end(stage.aside, pid))


def test_a_commit_survives_a_crash_after_it_is_on_disk(
    stage: Stage, waiting_at_the_end: sa.Engine
) -> None:
    _strike_at_the_end(stage, waiting_at_the_end, lambda _: stage.server.restart(immediate=True))


def _strike_at_the_end(stage: Stage, engine: sa.Engine, action: Callable[[int], None]) -> None:
    group = stage.planned_group(Step.DURING_COMMIT)
    before = traces(stage.aside, group.id)
    with ThreadPoolExecutor(1) as pool:
        request = pool.submit(generate, sessionmaker(engine), group)
        eventually(lambda: _at_the_end(stage.aside) is not None, "the commit is on disk")
        assert_lock_held(stage.aside, group.id)
        action(_at_the_end(stage.aside) or 0)
        failure = request.exception(TIMEOUT)
    assert failure is None or isinstance(failure, BROKEN)
    stage.assert_locks_are_free(group)
    assert stage.outcome(group, before) is Outcome.NEW
    stage.assert_the_next_request_succeeds(group)


def _at_the_end(engine: sa.Engine) -> int | None:
    statement = sa.text("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
    with engine.connect() as connection:
        pid: int | None = connection.scalar(statement)
    return pid
