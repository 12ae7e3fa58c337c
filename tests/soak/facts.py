"""The rows in the database after a load, read with plain SQL."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

import psycopg

GROUPS = """
SELECT id::text, student_id::text, generation, version, name, status
FROM studyplan.plan_groups WHERE id = coalesce(%(group)s, id)
"""
RUNS = """
SELECT group_id::text, number, coalesce(requested_by, ''), plan_count,
  coalesce(idempotency_key, ''), kind, undoes, undone_in, today, kept_count, moved_count, new_count,
  dropped_count, plan_ids::text[], kept_ids::text[], made_ids::text[], made_versions,
  coalesce((SELECT json_agg(json_build_array(i->'content', i->'first_unit', i->'last_unit'))
    FROM jsonb_array_elements(unplaced) AS i), '[]')
FROM studyplan.plan_generations WHERE group_id = coalesce(%(group)s, group_id)
ORDER BY group_id, number
"""
CONTENTS = """
SELECT id::text, group_id::text, position, first_unit, last_unit
FROM studyplan.contents WHERE group_id = coalesce(%(group)s, group_id)
"""
PLANS = """
SELECT id::text, student_id::text, group_id::text, generation, sequence, date,
  start_minute, end_minute, live, state, version, lineage::text, content_id::text, kind,
  first_unit, last_unit, done_through, part, parts, retired_in, retired_as
FROM studyplan.student_plans WHERE group_id = coalesce(%(group)s, group_id)
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
class RunFact:
    """The record of a generation or of an undo; the defaults are those of a generation."""

    group: str
    number: int
    requested_by: str
    plan_count: int
    key: str = ""
    kind: str = "generated"
    undoes: int | None = None
    undone_in: int | None = None
    today: date = date.min
    kept: int = 0
    moved: int = 0
    new: int = 0
    dropped: int = 0
    plan_ids: Sequence[str] = ()
    kept_ids: Sequence[str] = ()
    made_ids: Sequence[str] = ()
    made_versions: Sequence[int] = ()
    unplaced: Sequence[tuple[int, int, int]] = ()
    """The position of a content, and a range of its units, of each report."""

    @property
    def name(self) -> str:
        return f"run {self.number} of {self.group}"

    @property
    def is_undo(self) -> bool:
        """Whether it took back another run, which may itself be an undo."""
        return self.kind == "undone"

    @property
    def live(self) -> frozenset[str]:
        """The plans that were live when it had ended."""
        return frozenset([*self.plan_ids, *self.kept_ids])

    @property
    def has_changes(self) -> bool:
        return self.moved + self.new + self.dropped > 0


@dataclass(frozen=True, slots=True)
class ContentFact:
    id: str
    group: str
    position: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class PlanFact:
    id: str
    student: str
    group: str
    generation: int
    sequence: int | None
    """The place in its generation; None for a plan that was moved by hand."""
    date: date
    start: int
    end: int
    live: bool
    state: str
    version: int
    lineage: str
    content: str
    kind: str
    first: int
    last: int
    done_through: int | None = None
    part: int = 1
    parts: int = 1
    retired_in: int | None = None
    retired_as: str | None = None

    @property
    def range(self) -> tuple[object, ...]:
        """What a plan and its successor have in common if it only moves."""
        return self.content, self.kind, self.first, self.last, self.part, self.parts

    @property
    def place(self) -> tuple[object, ...]:
        """What identifies a plan: its range, date and time."""
        return *self.range, self.date, self.start, self.end


@dataclass(frozen=True)
class Facts:
    """The rows of the database, and indexes of the plans and of the runs."""

    groups: dict[str, GroupFact]
    runs: list[RunFact]
    plans: list[PlanFact]
    advisory_locks: int
    contents: Sequence[ContentFact] = ()
    by_id: dict[str, PlanFact] = field(init=False)
    by_run: dict[tuple[str, int], list[PlanFact]] = field(init=False)
    """The plans that each run has inserted."""
    by_number: dict[tuple[str, int], RunFact] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[tuple[str, int], list[PlanFact]] = defaultdict(list)
        for plan in self.plans:
            if plan.sequence is not None:
                found[plan.group, plan.generation].append(plan)
        object.__setattr__(self, "by_run", dict(found))
        object.__setattr__(self, "by_id", {plan.id: plan for plan in self.plans})
        numbered = {(run.group, run.number): run for run in self.runs}
        object.__setattr__(self, "by_number", numbered)


def read_facts(conninfo: str, group: UUID | None = None) -> Facts:
    """Read all rows in one snapshot, after all clients of the load have ended.

    If a group is given, only its rows are read.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        locks = _advisory_locks(connection)
    with psycopg.connect(conninfo) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        groups = [GroupFact(*row) for row in connection.execute(GROUPS, {"group": group})]
        runs = [RunFact(*row) for row in connection.execute(RUNS, {"group": group})]
        plans = [PlanFact(*row) for row in connection.execute(PLANS, {"group": group})]
        contents = [ContentFact(*row) for row in connection.execute(CONTENTS, {"group": group})]
    return Facts({group.id: group for group in groups}, runs, plans, locks, contents)


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
