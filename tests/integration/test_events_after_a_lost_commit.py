"""Events that are reported if the commit fails on the server, or a listener or callback fails."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, UnitOfWork
from domain.errors import CommitOutcomeUnknownError
from domain.events import GenerationEvent
from domain.testing import FaultAt, Step
from domain.testing.contention import TIMEOUT, cancel_backend, eventually, terminate_backend
from domain.testing.faults import CommitGate
from domain.unit_of_work.ending import Ending
from tests.integration.storing import Factory, listening, outcomes, plans, request, unit_of_work


@pytest.fixture
def faulty(database_url: sa.URL) -> Iterator[sa.Engine]:
    """A separate engine, whose connections the tests interrupt."""
    engine = sa.create_engine(database_url, pool_size=2)
    yield engine
    engine.dispose()


# --- the commit fails -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "raised", "reason"),
    [
        (cancel_backend, sa.exc.OperationalError, ("rolled_back", "57014")),
        (terminate_backend, CommitOutcomeUnknownError, ("unknown", "commit_outcome_unknown")),
    ],
)
def test_generation_whose_commit_fails_is_reported_as_rolled_back_or_unknown(
    *,
    owner_engine: sa.Engine,
    faulty: sa.Engine,
    group: PlanGroup,
    reported: list[GenerationEvent],
    fault: Callable[[sa.Engine, int], None],
    raised: type[Exception],
    reason: tuple[str, str],
) -> None:
    with (
        FaultAt(
            faulty,
            Step.DURING_COMMIT,
            lambda pid: fault(owner_engine, pid),
            gate_engine=owner_engine,
        ),
        pytest.raises(raised),
    ):
        request(sessionmaker(faulty), group)
    assert outcomes(reported) == [reason]
    assert plans(sessionmaker(faulty), group) == []


class SignalledError(Exception):
    """The error that a signal handler raises, as for a worker's soft time limit."""


@pytest.fixture
def interrupt() -> Iterator[Callable[[CommitGate], None]]:
    """Interrupt the main thread during its commit with a signal whose handler raises."""

    def handler(*_: object) -> None:
        raise SignalledError

    def send_signal(gate: CommitGate) -> None:
        eventually(lambda: gate.arrived() is not None, "the commit has been sent")
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    yield send_signal
    signal.signal(signal.SIGUSR1, before)


def test_generation_whose_commit_is_interrupted_is_reported_as_unknown(
    owner_engine: sa.Engine,
    faulty: sa.Engine,
    group: PlanGroup,
    reported: list[GenerationEvent],
    interrupt: Callable[[CommitGate], None],
) -> None:
    with CommitGate(owner_engine) as gate, ThreadPoolExecutor(1) as pool:
        interruption = pool.submit(interrupt, gate)
        with pytest.raises(SignalledError):
            request(sessionmaker(faulty), group)
        interruption.result(TIMEOUT)
    assert outcomes(reported) == [("unknown", "SignalledError")]


def test_unknown_outcome_is_logged_as_an_error(
    owner_engine: sa.Engine, faulty: sa.Engine, group: PlanGroup, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        FaultAt(
            faulty,
            Step.DURING_COMMIT,
            lambda pid: terminate_backend(owner_engine, pid),
            gate_engine=owner_engine,
        ),
        pytest.raises(CommitOutcomeUnknownError),
    ):
        request(sessionmaker(faulty), group)
    (record,) = [one for one in caplog.records if one.name == "studyplan.generation"]
    assert (record.getMessage(), record.levelno) == ("plan_generation.unknown", logging.ERROR)


# --- a listener or a callback fails -----------------------------------------------------


@pytest.mark.parametrize("commit", [True, False])
def test_listener_that_fails_at_the_end_does_not_replace_the_error_of_the_block(
    session_factory: Factory, group: PlanGroup, *, commit: bool
) -> None:
    calls: list[GenerationEvent] = []

    class OwnError(Exception):
        pass

    def fail(event: GenerationEvent) -> None:
        calls.append(event)
        raise KeyError

    def end(uow: UnitOfWork) -> None:
        if commit:
            uow.commit()
        raise OwnError

    with listening(fail), pytest.raises(OwnError) as raised:
        request(session_factory, group, end)
    assert len(calls) == 1
    assert raised.value.__context__ is None
    assert bool(plans(session_factory, group)) is commit


def test_callback_that_fails_is_logged_and_the_next_is_called(
    session_factory: Factory, group: PlanGroup, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Ending) -> None:
        raise KeyError

    endings: list[Ending] = []
    with unit_of_work(session_factory, group) as uow:
        uow.call_at_end(fail)
        uow.call_at_end(endings.append)
        uow.commit()
        uow.call_at_end(endings.append)
    assert endings == [Ending("committed"), Ending("committed")]
    (record,) = [one for one in caplog.records if one.name == "studyplan.unit_of_work"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None


def test_callback_that_is_added_after_a_failed_commit_is_called_at_the_exit_with_the_others(
    session_factory: Factory, group: PlanGroup
) -> None:
    @sa.event.listens_for(session_factory, "before_commit")
    def fail(_: Session) -> None:
        raise KeyError

    endings: list[tuple[str, Ending]] = []
    with unit_of_work(session_factory, group) as uow:
        uow.call_at_end(lambda ending: endings.append(("first", ending)))
        with pytest.raises(KeyError):
            uow.commit()
        uow.call_at_end(lambda ending: endings.append(("second", ending)))
        assert endings == []
    lost = Ending("rolled_back", "KeyError")
    assert endings == [("first", lost), ("second", lost)]
