"""Runs the benchmarks named on the command line, all by default."""

import sys
from collections.abc import Callable

import sqlalchemy as sa

from domain import schema
from domain.embedded import embedded_postgres
from tests.benchmarks import scheduling, unit_of_work, writing

WITH_DATABASE: dict[str, Callable[[sa.Engine], None]] = {
    "unit_of_work": unit_of_work.run,
    "writing": writing.run,
}


def main(names: list[str]) -> None:
    chosen = names or ["scheduling", *WITH_DATABASE]
    if "scheduling" in chosen:
        print("scheduling")
        scheduling.run()
    if not WITH_DATABASE.keys() & set(chosen):
        return
    with embedded_postgres() as server:
        engine = sa.create_engine(server.url, pool_size=80, max_overflow=0)
        with engine.connect() as connection:
            schema.upgrade(connection)
        for name, run in WITH_DATABASE.items():
            if name in chosen:
                print(name)
                run(engine)
        engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1:])
