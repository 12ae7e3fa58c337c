"""The cost of the lock: entering and exiting a unit of work, with and without Citus routing."""

from collections.abc import Callable
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGroupLock, UnitOfWork
from tests.benchmarks.timing import line, medians

ONE = sa.text("SELECT 1")


def run(engine: sa.Engine) -> None:
    """Print ratios to a plain SQLAlchemy transaction with one statement, interleaved.

    The contestants that commit use one connection, and those that roll back another: psycopg
    discards its prepared statements at a rollback, which would slow down those that commit.
    """
    # The lock functions recognize Citus by this setting; it needs no Citus to be installed.
    nodes = sa.create_engine(
        sa.make_url(engine.url).update_query_dict({"options": "-c citus.shard_count=32"})
    )
    on_nodes = {f"{name}, nodes": run for name, run in contestants(nodes).items()}
    found = medians({**contestants(engine), **on_nodes}, rounds=1500)
    plain, rolled_back = found["plain"], found["plain, rolled back"]
    line("locked unit of work, committed / plain transaction", f"{found['uow'] / plain:.3f}",
         "goal ≤ 1.22, the check of the identity included")  # fmt: skip
    line("the same, exited without commit / plain, rolled back",
         f"{found['exited'] / rolled_back:.3f}",
         "goal ≤ 1.30")  # fmt: skip
    line("committed / plain, routed to a node as for Citus",
         f"{found['uow, nodes'] / plain:.3f}", "goal ≤ 1.25")  # fmt: skip
    line("exited / plain, rolled back, routed as for Citus",
         f"{found['exited, nodes'] / rolled_back:.3f}", "goal ≤ 1.50")  # fmt: skip


def contestants(engine: sa.Engine) -> dict[str, Callable[[], None]]:
    """Return plain transactions, and units of work on a group that no other request locks."""
    committing, rolling_back = (sessionmaker(sa.create_engine(engine.url)) for _ in range(2))
    lock = PlanGroupLock(uuid4(), uuid4())

    def plain() -> None:
        with committing() as session:
            session.execute(ONE)
            session.commit()

    def rolled_back() -> None:
        with rolling_back() as session:
            session.execute(ONE)

    def uow() -> None:
        with UnitOfWork(committing, lock=lock) as uow:
            uow.commit()

    def exited() -> None:
        with UnitOfWork(rolling_back, lock=lock):
            pass

    return {"plain": plain, "plain, rolled back": rolled_back, "uow": uow, "exited": exited}
