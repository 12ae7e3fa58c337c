"""What is in the database after a load, read by plain SQL."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date

import psycopg

GROUPS = "SELECT id::text, student_id::text, generation FROM plan_groups"
GENERATIONS = """
SELECT group_id::text, number, coalesce(requested_by, ''), plan_count FROM plan_generations
ORDER BY group_id, number
"""
# Started, done and pinned plans are kept by later generations.
PLANS = """
SELECT id::text, student_id::text, group_id::text, generation, sequence, date,
  start_minute, end_minute, live, pinned OR state <> 'planned'
FROM student_plans
"""
LOCKS = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True, slots=True)
class GroupFact:
    id: str
    student: str
    generation: int


@dataclass(frozen=True, slots=True)
class GenerationFact:
    group: str
    number: int
    requested_by: str
    plan_count: int


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


@dataclass(frozen=True)
class Facts:
    """The rows, and the plans once more by group and generation."""

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
    """Everything in one snapshot of the database."""
    with psycopg.connect(conninfo) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        groups = [GroupFact(*row) for row in connection.execute(GROUPS)]
        generations = [GenerationFact(*row) for row in connection.execute(GENERATIONS)]
        plans = [PlanFact(*row) for row in connection.execute(PLANS)]
        (locks,) = connection.execute(LOCKS).fetchone() or (0,)
    return Facts({group.id: group for group in groups}, generations, plans, locks)
