"""Interrupt a program's first request at many moments, each in a separate process.

``python -m tests.integration.first_use PHASE URL COUNT`` raises an exception at ``COUNT`` moments
that are spread evenly over the first request, as a signal handler would. Afterwards the same
process must repeat the request and serve others. A line is printed for each process that fails.

Moments are counted rather than timed, so that a run can be repeated. Each process is forked before
the package is used, which costs less than a new interpreter. In the phase "import" the package is
imported during the request; SQLAlchemy is not, because its import cannot be repeated. In the phase
"tasks" the request's task is cancelled instead.
"""

import asyncio
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from importlib import import_module
from types import FrameType
from typing import Any, Final
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import configure_mappers, sessionmaker

TODAY: Final = date(2025, 1, 6)
TENANT: Final = UUID(int=7)
# Files that are not interrupted, and neither is what they call directly: an interruption in the
# bookkeeping of the pool, its queue and its events can leave it counting a connection that is not
# in use. SQLAlchemy behaves so at every use, not only the first.
EXCLUDED_PATHS: Final = ("sqlalchemy/pool/", "sqlalchemy/util/queue.py")

TIMEOUT: Final = 60
"""Seconds after which a process that hangs is killed."""

Request = Callable[[UUID], None]


class SoftLimit(Exception):  # noqa: N818 - named as in task queues
    """The error that a worker's signal handler raises when a task exceeds its soft limit."""


class Interruption:
    """A profile function that counts moments in files whose path contains ``where``.

    It raises an error or cancels a task at one of them. CPython calls a profile function at points
    where it also runs signal handlers: at the start of a function and after a call of a C function.
    A trace function would also raise at points where no signal handler runs.
    """

    def __init__(self, at: int, where: str) -> None:
        self.moments = 0
        self.place = ""
        self.task: asyncio.Task[None] | None = None
        """The task to cancel. An exception would be lost in a callback of the event loop."""
        self._at, self._where = at, where
        self._error = (SoftLimit, KeyboardInterrupt)[at % 2]

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if event not in {"call", "c_return"} or self._where not in name:
            return
        if _is_excluded(frame) or (frame.f_back is not None and _is_excluded(frame.f_back)):
            return
        self.moments += 1
        if self.moments == self._at:
            self.place = f"{name}:{frame.f_lineno}"
            if self.task is None:
                raise self._error
            self.task.cancel()


def _is_excluded(frame: FrameType) -> bool:
    return any(path in frame.f_code.co_filename for path in EXCLUDED_PATHS)


def main(phase: str, url: str, count: int) -> None:
    """Fork one process per moment and print what failed in which process."""
    if phase != "import":
        import_module("domain")
    where = "/domain/" if phase == "package" else ""
    complete = _forked(partial(_interrupted, phase, url, -1, where))
    if complete["failures"]:
        print("without an interruption", complete["failures"])
        return
    interrupted = 0
    for number in range(count):
        at = 1 + (2 * number + 1) * complete["moments"] // (2 * count)
        found = _forked(partial(_interrupted, phase, url, at, where))
        interrupted += bool(found["place"])
        if found["failures"]:
            print(f"{at} of {complete['moments']} at {found['place']}: {found['failures']}")
    print(f"{interrupted} of {count} were interrupted")


def _interrupted(phase: str, url: str, at: int, where: str) -> dict[str, Any]:
    """Interrupt the first request, then return which later requests of the process failed."""
    interruption = Interruption(at, where)
    request = _tasks(url, interruption) if phase == "tasks" else _threads(url)
    group_id = uuid4()
    failures = []
    sys.setprofile(interruption)
    try:
        request(group_id)
    except BaseException:  # the interruption, which SQLAlchemy may have wrapped
        if at < 0:
            raise
    finally:
        sys.setprofile(None)
    for again in (group_id, uuid4(), uuid4()):
        try:
            request(again)
            configure_mappers()  # as in an application with its own mapped classes
        except BaseException as error:  # noqa: BLE001 - any failure is a finding
            failures.append("".join(traceback.format_exception_only(error)).strip()[:300])
    return {"moments": interruption.moments, "place": interruption.place, "failures": failures}


def _threads(url: str) -> Request:
    """Return a request with the synchronous API, on an engine that admits one waiting request."""
    engine = sa.create_engine(url, pool_size=1, max_overflow=1, pool_timeout=2)
    factory = sessionmaker(engine)

    def request(group_id: UUID) -> None:
        domain: Any = import_module("domain")
        lock = domain.PlanGroupLock(TENANT, group_id, wait=timedelta(seconds=2))
        with domain.UnitOfWork(factory, lock=lock) as uow:
            if not uow.groups.of_student(group_id):
                uow.groups.add(_group(group_id))
                uow.commit()
        result = domain.generate_plans(factory, lock, today=TODAY, idempotency_key=str(group_id))
        assert (result.generation, len(result.plans)) == (1, 2)
        assert engine.pool.status().endswith("Current Checked out connections: 0")
        with domain.locking.policy.WaitingSlot(engine, wanted=True) as slot:
            assert slot.taken

    return request


def _tasks(url: str, interruption: Interruption) -> Request:
    """Return the same request with the asyncio API; the first task is cancelled.

    A connection whose task is cancelled while SQLAlchemy queries the server's properties, once per
    engine, is not returned to the pool. The pool is therefore not checked here.
    """
    runner = asyncio.Runner()
    engine = create_async_engine(url, pool_size=1, max_overflow=1, pool_timeout=2)
    factory = async_sessionmaker(engine)

    async def work(group_id: UUID) -> None:
        interruption.task = asyncio.current_task()
        domain: Any = import_module("domain")
        lock = domain.PlanGroupLock(TENANT, group_id, wait=timedelta(seconds=2))
        async with domain.AsyncUnitOfWork(factory, lock=lock) as uow:
            if not await uow.run(lambda uow: uow.groups.of_student(group_id)):
                await uow.run(lambda uow: uow.groups.add(_group(group_id)))
                await uow.commit()
        result = await domain.generate_plans_async(
            factory, lock, today=TODAY, idempotency_key=str(group_id)
        )
        assert (result.generation, len(result.plans)) == (1, 2)

    return lambda group_id: runner.run(work(group_id))


def _group(group_id: UUID) -> Any:
    domain: Any = import_module("domain")
    lecture = domain.Content(
        position=0, type=domain.ContentType.LECTURE, title="lecture",
        allocation=domain.Allocation.WEAKNESS, first_unit=1, last_unit=2,
        episodes=[
            domain.models.LectureEpisode(unit=1, minutes=30), domain.models.LectureEpisode(unit=2),
        ],
    )  # fmt: skip
    return domain.PlanGroup(
        id=group_id, tenant_id=TENANT, student_id=group_id, name="first",
        status=domain.GroupStatus.SAVED, period_start=TODAY, period_end=TODAY + timedelta(days=1),
        contents=[lecture],
        blocks=[
            domain.Block(
                kind=domain.BlockKind.STUDY, weekday=day, start_minute=600, end_minute=1140
            )
            for day in range(7)
        ],
    )  # fmt: skip


def _forked(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return the result of ``work`` in a forked copy of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            signal.alarm(TIMEOUT)
            os.write(writing, json.dumps(work()).encode())
        except BaseException:  # noqa: BLE001 - the copy must not continue as its parent
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:  # noqa: PTH123 - opens a file descriptor
        received = answer.read()
    os.waitpid(child, 0)
    died = {"moments": 0, "place": "?", "failures": ["the process ended without a result"]}
    return dict(json.loads(received)) if received else died


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
