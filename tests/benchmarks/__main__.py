"""Run the benchmarks named on the command line; by default, all that need no other options.

``balanced``, ``exact``, ``lives`` and ``slowest`` have options of their own, so each must be the
only name.
"""

import importlib
import sys
from collections.abc import Callable
from functools import partial

import sqlalchemy as sa

from domain import schema
from domain.embedded import embedded_postgres
from tests.benchmarks import (
    balanced,
    contention,
    decisions,
    exact,
    importing,
    lives,
    rescheduling,
    scheduling,
    slowest,
    unit_of_work,
    writing,
)

WITHOUT_DATABASE: dict[str, Callable[[], None]] = {
    "importing": importing.run,
    "scheduling": scheduling.run,
    "slowest": partial(slowest.main, ()),
    "balanced": partial(balanced.main, ()),
    "lives": partial(lives.main, ()),
    "exact": partial(exact.main, ()),
}
WITH_OPTIONS = {
    "slowest": slowest.main,
    "balanced": balanced.main,
    "lives": lives.main,
    "exact": exact.main,
}
NOT_BY_DEFAULT = {"peers", *WITH_OPTIONS}


def peers(engine: sa.Engine) -> None:
    """Compare with other libraries; requires ``pip install sqlalchemy-dlock pals``."""
    importlib.import_module("tests.benchmarks.peers").run(engine)


WITH_DATABASE: dict[str, Callable[[sa.Engine], None]] = {
    "unit_of_work": unit_of_work.run,
    "writing": writing.run,
    "rescheduling": rescheduling.run,
    "contention": contention.run,
    "decisions": decisions.run,
    "peers": peers,
}


def main(names: list[str]) -> None:
    if names and names[0] in WITH_OPTIONS:
        WITH_OPTIONS[names[0]](names[1:])
        return
    default = [name for name in (*WITHOUT_DATABASE, *WITH_DATABASE) if name not in NOT_BY_DEFAULT]
    selected = names or default
    for name, benchmark in WITHOUT_DATABASE.items():
        if name in selected:
            print(name)
            benchmark()
    if not WITH_DATABASE.keys() & set(selected):
        return
    with embedded_postgres() as server:
        engine = sa.create_engine(server.url, pool_size=80, max_overflow=0)
        with engine.connect() as connection:
            schema.upgrade(connection)
        for name, run in WITH_DATABASE.items():
            if name in selected:
                print(name)
                run(engine)
        engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1:])
