"""The lock of a unit of work compared with the locks of other libraries, on the same server.

Each contestant acquires a free lock, does nothing, and releases it.
"""

import importlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGroupLock, UnitOfWork
from tests.benchmarks.timing import line, medians


def run(engine: sa.Engine) -> None:
    """Print ratios to sqlalchemy-dlock, pals and raw psycopg, and the cost of a bounded wait."""
    found = medians(contestants(engine), rounds=800)
    for name in ("sqlalchemy-dlock", "pals", "raw psycopg"):
        ratio = found["unit of work"] / found[name]
        line(f"unit of work / {name}", f"{ratio:.2f}", "" if name.startswith("raw") else "goal < 1")
    ratio = found["with a bounded wait"] / found["unit of work"]
    line("unit of work with a bounded wait / without", f"{ratio:.2f}")


def contestants(engine: sa.Engine) -> dict[str, Callable[[], None]]:
    factory = sessionmaker(engine)
    lock = PlanGroupLock(uuid4(), uuid4())
    bounded = replace(lock, wait=timedelta(seconds=5))
    # Untyped, and not dependencies of this project: only this comparison uses them.
    pals: Any = importlib.import_module("pals")
    dlocks: Any = importlib.import_module("sqlalchemy_dlock")
    locker = pals.Locker("benchmark", create_engine_callable=lambda: sa.create_engine(engine.url))
    info = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    raw = psycopg.connect(info)

    def ours() -> None:
        with UnitOfWork(factory, lock=lock) as uow:
            uow.commit()

    def waiting() -> None:
        with UnitOfWork(factory, lock=bounded) as uow:
            uow.commit()

    def dlock() -> None:
        with factory() as session, dlocks.create_sadlock(session, "group"):
            pass

    def pals_lock() -> None:
        with locker.lock("group"):
            pass

    def driver() -> None:
        raw.execute("SELECT pg_try_advisory_xact_lock(42)")
        raw.commit()

    return {
        "unit of work": ours,
        "with a bounded wait": waiting,
        "sqlalchemy-dlock": dlock,
        "pals": pals_lock,
        "raw psycopg": driver,
    }
