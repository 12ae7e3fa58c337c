"""Simultaneous requests of all kinds leave what they would have left one after the other.

The order of their commits is known: the lock orders them, and of two marks, which share it, the one
that changes the same plan later waits for the commit of the other one. The successful requests are
repeated in this order on another group with the same settings, and both groups must end with the
same rows, except for their ids.
"""

import random
from collections import defaultdict
from collections.abc import Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain.testing.contention import TIMEOUT
from tests.integration.storing import stored_group
from tests.soak.attempts import Attempt, recorded
from tests.soak.checker import check
from tests.soak.draws import FIRST_DAY, Draw, Target
from tests.soak.facts import Facts, PlanFact, read_facts
from tests.soak.faults import Fault
from tests.soak.history import Journal, Kind, Operation, Outcome
from tests.soak.load import conninfo_of
from tests.soak.worker import perform

Factory = sessionmaker[Session]
RACERS = (
    *[Kind.GENERATE] * 2, *[Kind.RESCHEDULE] * 3, *[Kind.UNDO] * 2,
    *[Kind.REDO] * 2, *[Kind.MARK_ALL] * 3, *[Kind.MOVE] * 2, Kind.MISS, Kind.EDIT,
)  # fmt: skip


class Arena:
    """A group of its own student, whose operations are recorded."""

    def __init__(self, factory: Factory, directory: Path) -> None:
        self.operations: list[Operation] = []
        group = stored_group(factory)
        self.target = Target(group.tenant_id, group.student_id, group.id, (), activates=False)
        self._factory = factory
        self._directory = directory

    def run(self, draw: Draw) -> Operation:
        """Do one operation on this group and return its record."""
        name = f"o{draw.number}"
        journal = Journal(self._directory / f"{self.target.group_id}.{name}.jsonl")
        own = replace(draw, target=self.target)
        attempt = Attempt(own, own.operation(name), journal)
        with recorded(journal, attempt.operation):
            perform(self._factory, attempt)
        journal.close()
        self.operations.append(attempt.operation)
        return attempt.operation

    def facts(self, url: sa.URL) -> Facts:
        return read_facts(conninfo_of(url), self.target.group_id)


def drawn(kind: Kind, number: int, rng: random.Random) -> Draw:
    """Return an operation that waits for the lock, of whichever group."""
    target = Target(uuid4(), uuid4(), uuid4(), (), activates=False)
    return Draw(
        kind=kind, target=target, number=number, wait=timedelta(seconds=TIMEOUT), fault=Fault.NONE,
        today=FIRST_DAY + timedelta(rng.randrange(4)), key="", selector=rng.random(), dwell=0.0,
        patience=None,
    )  # fmt: skip


def in_common(facts: Facts) -> tuple[object, ...]:
    """Return everything that two groups with the same history have in common."""
    lineages: dict[str, set[Hashable]] = defaultdict(set)
    for plan in facts.plans:
        lineages[plan.lineage].add(_values(plan))
    (group,) = facts.groups.values()
    runs = [
        (run.number, run.requested_by, run.kind, run.undoes, run.undone_in, run.today, run.kept,
         run.moved, run.new, run.dropped, _rows(run.plan_ids, facts), _rows(run.kept_ids, facts),
         _rows(run.made_ids, facts), sorted(run.made_versions))
        for run in facts.runs
    ]  # fmt: skip
    rows = frozenset(frozenset(members) for members in lineages.values())
    return (group.generation, group.version, group.name), runs, rows


def _rows(ids: Iterable[str], facts: Facts) -> frozenset[Hashable]:
    return frozenset(_values(facts.by_id[one]) for one in ids)


def _values(plan: PlanFact) -> Hashable:
    return replace(plan, id="", student="", group="", lineage="", content="")


@pytest.mark.parametrize("seed", range(50))
def test_race_of_16_requests_ends_as_in_the_order_of_their_commits(
    session_factory: Factory, database_url: sa.URL, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)  # noqa: S311 - not for cryptography
    race, replay = Arena(session_factory, tmp_path), Arena(session_factory, tmp_path)
    draws = {number: drawn(kind, number, rng) for number, kind in enumerate(RACERS, 3)}
    draws |= {number: drawn(Kind.GENERATE, number, rng) for number in (1, 2)}
    for number in (1, 2):
        race.run(draws[number])
    start = Barrier(len(RACERS))

    def run(number: int) -> None:
        start.wait(TIMEOUT)
        race.run(draws[number])

    with ThreadPoolExecutor(len(RACERS)) as pool:
        list(pool.map(run, range(3, 3 + len(RACERS))))

    race.operations.sort(key=lambda one: one.started)
    verdict = check(race.operations, race.facts(database_url))
    assert not verdict.violations, str(verdict)
    ends = {one.outcome for one in race.operations}
    # A move is rolled back if there is no plan to move.
    allowed = {Outcome.DONE, Outcome.DECLINED, Outcome.OVERTAKEN, Outcome.ROLLED_BACK}
    assert ends <= allowed, str(verdict)
    done = [one for one in race.operations if one.outcome is Outcome.DONE]
    assert len(done) >= 8, str(verdict)
    for one in sorted(done, key=lambda one: one.committing or 0):
        again = replay.run(draws[int(one.id[1:])])
        assert again.outcome is Outcome.DONE, f"{one.kind}: {again.error}"
    assert in_common(race.facts(database_url)) == in_common(replay.facts(database_url))
