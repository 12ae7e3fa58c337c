"""The lock of a unit of work beside other libraries' locks, on the same server.

Each takes a free lock, runs nothing under it, and lets it go.
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
    """Medians against sqlalchemy-dlock, pals and raw psycopg, with and without a wait."""
    found = medians(contestants(engine), rounds=800)
    for name in ("sqlalchemy-dlock", "pals", "raw psycopg"):
        ratio = found["unit of work"] / found[name]
        line(f"unit of work / {name}", f"{ratio:.2f}", "" if name.startswith("raw") else "goal < 1")
    ratio = found["with a bounded wait"] / found["unit of work"]
    line("unit of work with a bounded wait / without", f"{ratio:.2f}")


def contestants(engine: sa.Engine) -> dict[str, Callable[[], None]]:
    factory = sessionmaker(engine)
    lock = PlanGroupLock(uuid4(), uuid4())
    patient = replace(lock, wait=timedelta(seconds=5))
    # Untyped, and installed by those who compare alone.
    pals: Any = importlib.import_module("pals")
    dlocks: Any = importlib.import_module("sqlalchemy_dlock")
    locker = pals.Locker("benchmark", create_engine_callable=lambda: sa.create_engine(engine.url))
    info = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    raw = psycopg.connect(info)

    def ours() -> None:
        with UnitOfWork(factory, lock=lock) as uow:
            uow.commit()

    def waiting() -> None:
        with UnitOfWork(factory, lock=patient) as uow:
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
