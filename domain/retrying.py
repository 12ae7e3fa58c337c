"""Retries of entire units of work, for errors after which a retry is useful and safe.

This is the only module that needs tenacity: ``pip install 'studyplan-domain[retry]'``.
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
_AWAITABLE: Final = (
    "retrying() needs a synchronous function, but this one returns an awaitable, which would be "
    "neither awaited nor retried. Use `await retrying_async(…)`."
)
# Serialization failure, deadlock, lock not available: the server rolls the transaction back.
_ROLLED_BACK: Final = frozenset({"40001", "40P01", "55P03"})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number of attempts, the time limit, and the pauses between attempts.

    The pause before attempt n + 1 is random between 0 and ``first_pause`` · 2ⁿ⁻¹, at most
    ``max_pause``; the error's ``retry_after``, if it has one, is added to it. No attempt starts
    later than ``deadline`` after the start of the first one; a running attempt is not interrupted.
    """

    attempts: int = 5
    deadline: timedelta = timedelta(seconds=60)
    first_pause: timedelta = timedelta(milliseconds=100)
    max_pause: timedelta = timedelta(seconds=5)

    def __post_init__(self) -> None:
        # Callers without a type checker pass numbers for durations.
        attempts: object = self.attempts
        if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
            raise InvalidInputError.of("attempts", "must be a whole number of at least 1")
        durations: tuple[object, ...] = (self.deadline, self.first_pause, self.max_pause)
        for duration in durations:
            if not isinstance(duration, timedelta) or duration < timedelta(0):
                raise InvalidInputError.of("policy", "must have timedeltas of at least 0")


DEFAULT_POLICY: Final = RetryPolicy()


class Keyed(Protocol[T_co]):
    """A callable that passes the idempotency key to the service."""

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
    """Call ``work`` until it succeeds, and return its result.

    The calls end with an error that is not retryable, or when the limits of ``policy`` are reached.
    ``work`` must enter its own unit of work, so that each attempt is a separate transaction. With
    an ``idempotency_key`` it is called as ``work(idempotency_key=…)``, and only then is a commit
    with an unknown outcome retried::

        retrying(
            partial(generate_plans, factory, PlanGroupLock(tenant_id, group_id), today=…),
            idempotency_key=key,
        )

    ``is_retryable`` decides which errors are retried; the last error is raised unchanged. Raises
    ``MisuseError`` if ``work`` is no function or returns an awaitable: use ``retrying_async`` for
    that. Raises ``InvalidInputError`` if ``policy`` is no ``RetryPolicy``.
    """

    def attempt(**arguments: str) -> T:
        result = work(**arguments)
        if inspect.isawaitable(result):
            _discard(result)
            raise MisuseError(_AWAITABLE)
        return result

    if inspect.iscoroutinefunction(work):
        raise MisuseError(_AWAITABLE)
    _require_arguments(work, policy)
    arguments = _arguments(idempotency_key)
    return tenacity.Retrying(**_options(policy, idempotency_key))(attempt, **arguments)


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
    """Call and await ``work`` until it succeeds, and return its result, as ``retrying`` does.

    ``work`` is any callable that returns a new awaitable for each attempt. The pauses do not block
    the event loop. Raises ``MisuseError`` if ``work`` is no function or returns an object that is
    not awaitable, and ``InvalidInputError`` if ``policy`` is no ``RetryPolicy``.
    """

    async def attempt(**arguments: str) -> T:
        awaitable = work(**arguments)
        # Callers without a type checker pass plain functions.
        if not inspect.isawaitable(awaitable):
            raise MisuseError(
                "retrying_async() needs a function that returns an awaitable, but this one "
                "returned another object. Use retrying(), in a thread if the function waits for "
                "the database."
            )
        return await awaitable

    _require_arguments(work, policy)
    arguments = _arguments(idempotency_key)
    return await tenacity.AsyncRetrying(**_options(policy, idempotency_key))(attempt, **arguments)


def is_retryable(error: BaseException, *, with_key: bool = False) -> bool:
    """Whether a retry after this error may succeed and cannot apply a change twice.

    The result is true for a busy lock, overlapping plans, a concurrent generation, a busy database,
    a standby, a deadlock, a serialization failure, and a connection that was lost before the
    commit. It is false for a concurrent edit, which a user must review first. For a connection that
    was lost during the commit it is true only with an idempotency key. The text of a message never
    influences the result.
    """
    if isinstance(error, CommitOutcomeUnknownError):
        return with_key
    if isinstance(error, DomainError):
        return error.retryable
    return sqlstate(error) in _ROLLED_BACK or connection_lost(error)


def _require_arguments(work: object, policy: object) -> None:
    """Refuse what callers without a type checker pass, such as the result of calling ``work``."""
    if not callable(work):
        if inspect.isawaitable(work):
            _discard(work)
        raise MisuseError(
            f"work must be a function that begins a new attempt, not {type(work).__name__}. Pass "
            "the function without calling it, for example as a lambda."
        )
    if not isinstance(policy, RetryPolicy):
        raise InvalidInputError.of("policy", "must be a RetryPolicy")


def _discard(awaitable: Awaitable[Any]) -> None:
    """Close a coroutine or cancel a future that will not be awaited."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()
    elif isinstance(awaitable, asyncio.Future):
        # Without a call of ``exception()`` asyncio would log that the error was never retrieved.
        awaitable.add_done_callback(lambda done: done.cancelled() or done.exception())
        awaitable.cancel()


def _arguments(key: str | None) -> dict[str, str]:
    return {} if key is None else {"idempotency_key": key}


def _options(policy: RetryPolicy, key: str | None) -> dict[str, Any]:
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
    """Exponential backoff with full jitter, in addition to the error's ``retry_after``."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._jitter = tenacity.wait_random_exponential(
            multiplier=policy.first_pause.total_seconds(), max=policy.max_pause.total_seconds()
        )

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        error = _error(retry_state)
        retry_after = error.retry_after if isinstance(error, DomainError) else None
        return float(retry_after or 0) + self._jitter(retry_state)


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
