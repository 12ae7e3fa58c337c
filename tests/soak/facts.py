"""The rows in the database after a load, read with plain SQL."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date

import psycopg

GROUPS = """
SELECT id::text, student_id::text, generation, version, name, status FROM studyplan.plan_groups
"""
GENERATIONS = """
SELECT group_id::text, number, coalesce(requested_by, ''), plan_count,
  coalesce(idempotency_key, '')
FROM studyplan.plan_generations ORDER BY group_id, number
"""
# Later generations keep plans that are started, done or pinned.
PLANS = """
SELECT id::text, student_id::text, group_id::text, generation, sequence, date,
  start_minute, end_minute, live, pinned OR state <> 'planned', version
FROM studyplan.student_plans
"""
LOCKS = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
LINGER = 5.0
"""The seconds that the server has to notice that clients are gone, before a lock is a leak."""


@dataclass(frozen=True, slots=True)
class GroupFact:
    id: str
    student: str
    generation: int
    version: int = 1
    name: str = ""
    status: str = "saved"


@dataclass(frozen=True, slots=True)
class GenerationFact:
    group: str
    number: int
    requested_by: str
    plan_count: int
    key: str = ""


@dataclass(frozen=True, slots=True)
class PlanFact:
    id: str
    student: str
    group: str
    generation: int
    sequence: int
    date: date
    start: int
    end: int
    live: bool
    kept: bool
    version: int

    @property
    def edited(self) -> int:
        """The version that edits have produced, without the increment when the plan is retired."""
        return self.version - (not self.live)


@dataclass(frozen=True)
class Facts:
    """The rows of the database, and an index of the plans by group and generation."""

    groups: dict[str, GroupFact]
    generations: list[GenerationFact]
    plans: list[PlanFact]
    advisory_locks: int
    by_generation: dict[tuple[str, int], list[PlanFact]] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[tuple[str, int], list[PlanFact]] = defaultdict(list)
        for plan in self.plans:
            found[plan.group, plan.generation].append(plan)
        object.__setattr__(self, "by_generation", dict(found))


def read_facts(conninfo: str) -> Facts:
    """Read all rows in one snapshot, after all clients of the load have ended."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        locks = _advisory_locks(connection)
    with psycopg.connect(conninfo) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        groups = [GroupFact(*row) for row in connection.execute(GROUPS)]
        generations = [GenerationFact(*row) for row in connection.execute(GENERATIONS)]
        plans = [PlanFact(*row) for row in connection.execute(PLANS)]
    return Facts({group.id: group for group in groups}, generations, plans, locks)


def _advisory_locks(connection: psycopg.Connection) -> int:
    """Return the number of advisory locks that remain held.

    The backend of a client that was killed during its commit may still be committing, so the count
    is repeated until it is zero or ``LINGER`` seconds have passed.
    """
    deadline = time.monotonic() + LINGER
    while True:
        (locks,) = connection.execute(LOCKS).fetchone() or (0,)
        if not locks or time.monotonic() > deadline:
            return int(locks)
        connection.execute("SELECT pg_sleep(0.05)")
