"""Whole units of work tried again, where that can help and cannot do harm.

The only module that needs tenacity: ``pip install 'studyplan-domain[retry]'``.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol, TypeVar, overload

from domain import events
from domain.database_errors import connection_lost, sqlstate
from domain.errors import CommitOutcomeUnknownError, DomainError, InvalidInputError, MisuseError

try:
    import tenacity
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "tenacity is missing: pip install 'studyplan-domain[retry]'", name="tenacity"
    ) from missing

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_LOG: Final = logging.getLogger("studyplan.retry")
_AWAITED: Final = (
    "retrying() calls plain functions; this work gives an awaitable, which it would neither "
    "await nor try again. Use `await retrying_async(…)`."
)
# Serialization failure, deadlock, lock not available: the server undid the transaction.
_UNDONE: Final = frozenset({"40001", "40P01", "55P03"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often, how long, and with which pauses.

    The pause before attempt n + 1 is random between 0 and ``first_pause`` · 2ⁿ⁻¹, at most
    ``longest_pause``; on top of ``retry_after`` where the refusal has one. No attempt
    begins later than ``deadline`` after the first did; one that runs is not interrupted.
    """

    attempts: int = 5
    deadline: timedelta = timedelta(seconds=60)
    first_pause: timedelta = timedelta(milliseconds=100)
    longest_pause: timedelta = timedelta(seconds=5)

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise InvalidInputError.of("attempts", "must be 1 or more")
        if min(self.deadline, self.first_pause, self.longest_pause) < timedelta(0):
            raise InvalidInputError.of("policy", "must not have a negative duration")


DEFAULT_POLICY: Final = RetryPolicy()


class Keyed(Protocol[T_co]):
    """Work that hands the idempotency key on to the service."""

    def __call__(self, *, idempotency_key: str) -> T_co: ...


@overload
def retrying(work: Callable[[], T], *, policy: RetryPolicy = DEFAULT_POLICY) -> T: ...
@overload
def retrying(
    work: Keyed[T], *, idempotency_key: str, policy: RetryPolicy = DEFAULT_POLICY
) -> T: ...
def retrying(
    work: Callable[..., T],
    *,
    idempotency_key: str | None = None,
    policy: RetryPolicy = DEFAULT_POLICY,
) -> T:
    """Call ``work`` until it succeeds, fails for good, or the policy's end; its result.

    ``work`` opens its own unit of work, so that every attempt is a transaction of its own.
    With an ``idempotency_key`` it is called as ``work(idempotency_key=…)``, and only then
    is a commit of which nobody knows the outcome tried again::

        retrying(
            partial(generate_plans, factory, PlanGroupLock(group_id), tenant_id=…, today=…),
            idempotency_key=key,
        )

    Tried again is what ``is_retryable`` says; the last error is raised as it is. Raises
    ``MisuseError`` for work that is to be awaited: ``retrying_async`` is for that.
    """

    def attempt(**arguments: str) -> T:
        result = work(**arguments)
        if inspect.isawaitable(result):
            _abandon(result)
            raise MisuseError(_AWAITED)
        return result

    if inspect.iscoroutinefunction(work):
        raise MisuseError(_AWAITED)
    arguments = _arguments(idempotency_key)
    return tenacity.Retrying(**_controls(policy, idempotency_key))(attempt, **arguments)


@overload
async def retrying_async(
    work: Callable[[], Awaitable[T]], *, policy: RetryPolicy = DEFAULT_POLICY
) -> T: ...
@overload
async def retrying_async(
    work: Keyed[Awaitable[T]], *, idempotency_key: str, policy: RetryPolicy = DEFAULT_POLICY
) -> T: ...
async def retrying_async(
    work: Callable[..., Awaitable[T]],
    *,
    idempotency_key: str | None = None,
    policy: RetryPolicy = DEFAULT_POLICY,
) -> T:
    """``retrying`` for work that is awaited; its pauses are asyncio's.

    ``work`` is whatever callable gives an awaitable, a new one for every attempt. Raises
    ``MisuseError`` if it gives none.
    """

    async def attempt(**arguments: str) -> T:
        awaitable = work(**arguments)
        # Callers without a type checker pass plain functions.
        if not inspect.isawaitable(awaitable):
            raise MisuseError(
                "retrying_async() takes work that gives an awaitable; this one had its result "
                "at once. Use retrying(), in a thread if it waits for the database."
            )
        return await awaitable

    arguments = _arguments(idempotency_key)
    return await tenacity.AsyncRetrying(**_controls(policy, idempotency_key))(attempt, **arguments)


def is_retryable(error: BaseException, *, with_key: bool = False) -> bool:
    """Whether trying again can help and nothing can happen twice; never decided by a text.

    Yes for a lock that was busy, an overlap, a generation meanwhile, a busy database, a
    standby, a deadlock, a serialization failure and a connection lost before the commit. No
    for an edit meanwhile: somebody has to look at it first. For a connection lost in the
    commit only with an idempotency key.
    """
    if isinstance(error, CommitOutcomeUnknownError):
        return with_key
    if isinstance(error, DomainError):
        return error.retryable
    return sqlstate(error) in _UNDONE or connection_lost(error)


def _abandon(awaitable: Awaitable[Any]) -> None:
    """End what nobody will await: a coroutine before it began, a task at its next step."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()
    elif isinstance(awaitable, asyncio.Future):
        # Asking for its error keeps asyncio from reporting one that nobody asked for.
        awaitable.add_done_callback(lambda done: done.cancelled() or done.exception())
        awaitable.cancel()


def _arguments(key: str | None) -> dict[str, str]:
    return {} if key is None else {"idempotency_key": key}


def _controls(policy: RetryPolicy, key: str | None) -> dict[str, Any]:
    return {
        "retry": tenacity.retry_if_exception(
            lambda error: is_retryable(error, with_key=key is not None)
        ),
        "stop": tenacity.stop_after_attempt(policy.attempts)
        | tenacity.stop_before_delay(policy.deadline),
        "wait": _Pause(policy),
        "before_sleep": _log_retry,
        "reraise": True,
    }


class _Pause(tenacity.wait.wait_base):
    """Exponential with full jitter, after what the refusal asks for."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._jitter = tenacity.wait_random_exponential(
            multiplier=policy.first_pause.total_seconds(), max=policy.longest_pause.total_seconds()
        )

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = _error(retry_state)
        asked = error.retry_after if isinstance(error, DomainError) else None
        return float(asked or 0) + self._jitter(retry_state)


def _log_retry(state: tenacity.RetryCallState) -> None:
    error = _error(state)
    fields = {
        "event": "retry.waiting",
        "attempt": state.attempt_number,
        "seconds": state.upcoming_sleep,
        "error_type": events.error_type(error) if error else None,
    }
    events.log(_LOG, logging.INFO, "retry.waiting", fields=fields)


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None
