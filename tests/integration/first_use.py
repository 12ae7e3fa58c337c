"""A program whose first request is interrupted, at many moments, in a process of its own each.

``python -m tests.integration.first_use PHASE URL COUNT``: at ``COUNT`` moments, spread evenly
over the first request, an exception comes up as out of a signal's handler. Afterwards the same
process must repeat the request and serve another. Prints a line for each process that does not.

The moments are counted, not timed, so that they can be repeated; and a fork, before anything was
used, makes a fresh process cheap. In the phase "import" the package is imported within; SQLAlchemy
is not, for its import cannot be repeated. In the phase "tasks" the request's task is cancelled.
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
# The pool's own bookkeeping is SQLAlchemy's: interrupted there, at the first use or any other,
# it may count a connection that nobody has.
UNTOUCHED: Final = "sqlalchemy/pool/"

TIMEOUT: Final = 60
"""Seconds after which a process that hangs is killed."""

Request = Callable[[UUID], None]


class SoftLimit(Exception):  # noqa: N818 - named as task queues name theirs
    """What a worker's handler raises when a task takes too long."""


class Interruption:
    """A profile function that counts moments in files like ``where`` and strikes at one of them.

    It is called where CPython looks for signals: when a function begins, and after a call of one
    that is written in C. A trace function would raise where no handler ever does.
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
        if event not in {"call", "c_return"} or self._where not in name or UNTOUCHED in name:
            return
        self.moments += 1
        if self.moments == self._at:
            self.place = f"{name}:{frame.f_lineno}"
            if self.task is None:
                raise self._error
            self.task.cancel()


def main(phase: str, url: str, count: int) -> None:
    """Fork a process for each moment; print what is wrong with which."""
    if phase != "import":
        import_module("domain")
    where = "/domain/" if phase == "package" else ""
    whole = _forked(partial(_interrupted, phase, url, -1, where))
    if whole["wrong"]:
        print("without an interruption", whole["wrong"])
        return
    hit = 0
    for number in range(count):
        at = 1 + (2 * number + 1) * whole["moments"] // (2 * count)
        found = _forked(partial(_interrupted, phase, url, at, where))
        hit += bool(found["place"])
        if found["wrong"]:
            print(f"{at} of {whole['moments']} at {found['place']}: {found['wrong']}")
    print(f"{hit} of {count} were interrupted")


def _interrupted(phase: str, url: str, at: int, where: str) -> dict[str, Any]:
    """The first request, which comes to harm, and what the process can do then."""
    interruption = Interruption(at, where)
    request = _tasks(url, interruption) if phase == "tasks" else _threads(url)
    group_id = uuid4()
    wrong = []
    sys.setprofile(interruption)
    try:
        request(group_id)
    except BaseException:  # SQLAlchemy may have wrapped it
        if at < 0:
            raise
    finally:
        sys.setprofile(None)
    for again in (group_id, uuid4(), uuid4()):
        try:
            request(again)
            configure_mappers()  # as an application does that maps with bases of its own
        except BaseException as error:  # noqa: BLE001 - every failure is what is looked for
            wrong.append("".join(traceback.format_exception_only(error)).strip()[:300])
    return {"moments": interruption.moments, "place": interruption.place, "wrong": wrong}


def _threads(url: str) -> Request:
    """A request through the synchronous door, on an engine that has room for one waiter."""
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
    """The same through the door for tasks, of which the first is cancelled.

    A connection that is cancelled while SQLAlchemy asks it about the server, once for an engine,
    is not given back to the pool.
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
    """What ``work`` gives in a copy of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            signal.alarm(TIMEOUT)
            os.write(writing, json.dumps(work()).encode())
        except BaseException:  # noqa: BLE001 - a copy must not go on as its parent
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:  # noqa: PTH123 - of a file descriptor
        told = answer.read()
    os.waitpid(child, 0)
    died = {"moments": 0, "place": "?", "wrong": ["the process died"]}
    return dict(json.loads(told)) if told else died


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
