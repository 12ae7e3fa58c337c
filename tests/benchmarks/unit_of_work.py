"""What the lock costs: entering and leaving a unit of work."""

from collections.abc import Callable
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, UnitOfWork
from tests.benchmarks.timing import line, medians

ONE = sa.text("SELECT 1")


def run(engine: sa.Engine) -> None:
    """Against a plain SQLAlchemy transaction with one statement, interleaved."""
    found = medians(contestants(engine), rounds=1500)
    plain = found["plain"]
    line("locked unit of work, committed / plain transaction", f"{found['uow'] / plain:.3f}",
         "goal ≤ 1.15 (1.10 with timeouts)")  # fmt: skip
    line("locked unit of work, left without commit / plain", f"{found['left'] / plain:.3f}")


def contestants(engine: sa.Engine) -> dict[str, Callable[[], None]]:
    """A plain transaction, and units of work on a group that nobody else asks for."""
    factory: sessionmaker[Session] = sessionmaker(engine)
    lock = PlanGroupLock(uuid4())

    def plain() -> None:
        with factory() as session:
            session.execute(ONE)
            session.commit()

    def uow() -> None:
        with UnitOfWork(factory, lock=lock) as uow:
            uow.commit()

    def left() -> None:
        with UnitOfWork(factory, lock=lock):
            pass

    return {"plain": plain, "uow": uow, "left": left}
