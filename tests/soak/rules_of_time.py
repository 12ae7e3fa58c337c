"""What the times of the operations must satisfy.

A worker notes a time just after it has got the lock and just before it sends its commit.
The lock is held from before the first until after the second, so two such spans of one
group that overlap are two holders, whatever delays the workers had; they may be that only if
both share the lock. (The time after the commit has returned would not do: the next holder may
have entered before the last one's worker reads its answer.) Whose commit did not take place may
have lost the lock at any time; it certainly held it until its last statement that was answered.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf

from tests.soak.history import REFUSED, Kind, Operation, Outcome
from tests.soak.resolved import writers
from tests.soak.violation import Rule, Violation

BROKEN_LINGERS = 5.0
"""Seconds that a broken connection's transaction may outlive its client's knowledge of it."""
KILLED_LINGERS = 15.0
"""The same from the beginning of an operation whose worker was killed."""

PLANS = frozenset({Kind.GENERATE, Kind.ROLL_BACK})


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """When an operation certainly held a lock."""

    begin: float
    end: float
    id: str
    shared: bool = False


Stored = frozenset[str]


def violations(operations: list[Operation], stored: Stored) -> Iterator[Violation]:
    """Every violation in the times; ``operations`` are sorted by their start."""
    for group, mine in _by(operations, lambda operation: operation.groups).items():
        yield from _overlaps(Rule.OVERLAP, spans(mine, stored, lambda one: one.entered))
        made = [one for one in mine if one.kind is Kind.GENERATE and one.id in stored]
        yield from _order(made)
        yield from _sights(group, mine, stored)
        yield from _reads(mine, {one.number: one for one in made})
    for mine in _by(operations, lambda operation: [operation.student]).values():
        # Whoever is given an earlier answer plans nothing, and needs the group's lock alone.
        planners = [one for one in mine if one.kind in PLANS and not one.repeated]
        yield from _overlaps(Rule.STUDENT_LOCK, spans(planners, stored, lambda one: one.planned))
        yield from _groundless(mine)
    yield from _overtaken(operations)


def together(operations: Iterable[Operation], stored: Stored) -> int:
    """How many spans began while another one of their group shared the lock with them."""
    count = 0
    for mine in _by(operations, lambda operation: operation.groups).values():
        shared = spans((one for one in mine if one.shared), stored, lambda one: one.entered)
        ends = accumulate((span.end for span in shared), max)
        count += sum(later.begin < end for end, later in zip(ends, shared[1:], strict=False))
    return count


def spans(
    operations: Iterable[Operation], stored: Stored, since: Callable[[Operation], float | None]
) -> list[Span]:
    """When who certainly held a lock, from ``since`` on, by begin."""
    held = ((since(one), _until(one, stored), one) for one in operations)
    return sorted(
        Span(begin, end, one.id, one.shared)
        for begin, end, one in held
        if begin and end and begin < end
    )


def _until(operation: Operation, stored: Stored) -> float | None:
    answered = operation.id in stored or operation.outcome is Outcome.REPEATED
    return operation.leaving if answered else operation.alive


def _by(
    operations: Iterable[Operation], keys: Callable[[Operation], Iterable[str]]
) -> dict[str, list[Operation]]:
    found: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        for key in keys(operation):
            found[key].append(operation)
    return found


def _overlaps(rule: Rule, held: list[Span]) -> Iterator[Violation]:
    latest: dict[bool, Span] = {}  # of those who share the lock, and of those who do not
    for span in held:
        for shared, other in latest.items():
            if span.begin < other.end and not (shared and span.shared):
                by = 1000 * (min(other.end, span.end) - span.begin)
                broken = Rule.BESIDE_SHARED if shared or span.shared else rule
                yield Violation(broken, f"{other.id} and {span.id}, for {by:.2f} ms")
        if span.shared not in latest or span.end > latest[span.shared].end:
            latest[span.shared] = span


def _order(made: list[Operation]) -> Iterator[Violation]:
    for earlier, later in pairwise(sorted(made, key=lambda one: one.number or 0)):
        if earlier.number == later.number:
            yield Violation(Rule.REPEAT, f"{earlier.id} and {later.id} both made {later.number}")
        elif (later.leaving or 0) < (earlier.entered or 0):
            yield Violation(
                Rule.ORDER, f"{later.id} made {later.number} before {earlier.number} was begun"
            )


def _sights(group: str, operations: list[Operation], stored: Stored) -> Iterator[Violation]:
    """Who enters after another has asked for its commit has waited for that commit."""
    commits = sorted(
        (one.leaving, one.number if one.kind is Kind.GENERATE else 0, one.writes.get(group, 0))
        for one in operations
        if one.id in stored and one.leaving is not None
    )
    ends = [leaving for leaving, _, _ in commits]
    numbers = list(accumulate((number or 0 for _, number, _ in commits), max))
    versions = list(accumulate((version for _, _, version in commits), max))
    for one in operations:
        if group not in one.seen or one.entered is None:
            continue
        if before := bisect_right(ends, one.entered):
            least = [numbers[before - 1], versions[before - 1]]
            if any(saw < must for saw, must in zip(one.seen[group], least, strict=True)):
                yield Violation(Rule.OLD_SIGHT, f"{one.id} saw {one.seen[group]} after {least}")


def _reads(group: list[Operation], made: dict[int | None, Operation]) -> Iterator[Violation]:
    answered = sorted((one.ended or 0, one.number or 0) for one in made.values() if one.makes)
    ends = [end for end, _ in answered]
    highest = list(accumulate((number for _, number in answered), max))
    for read in group:
        if read.kind is not Kind.READ or read.outcome is not Outcome.DONE:
            continue
        before = bisect_right(ends, read.started)
        least = highest[before - 1] if before else 0
        if (read.number or 0) < least:
            yield Violation(Rule.STALE_READ, f"{read.id} saw {read.number} after {least}")
        maker = made.get(read.number)
        if maker is not None and maker.started > (read.ended or 0):
            yield Violation(Rule.STALE_READ, f"{read.id} saw {read.number} before it was begun")
        if read.foreign or (maker is not None and maker.digest != read.digest):
            yield Violation(Rule.STALE_READ, f"{read.id} saw a mix with {read.number}")


def _groundless(student: list[Operation]) -> Iterator[Violation]:
    """Refusals in whose time nobody else of the student's groups was about anything.

    Those who share a lock do not refuse each other.
    """
    asking = [one for one in student if one.kind is not Kind.READ]
    exclusive = [one for one in asking if not one.shared]
    for shared, others in ((False, asking), (True, exclusive)):
        refused = (one for one in asking if one.outcome in REFUSED and one.shared is shared)
        for one in _alone(refused, others):
            yield Violation(Rule.GROUNDLESS, f"{one.id} was told that somebody holds the lock")


def _alone(operations: Iterable[Operation], others: list[Operation]) -> Iterator[Operation]:
    """Those in whose time none of the others, sorted by their start, was about anything."""
    starts = [one.started for one in others]
    latest = list(accumulate(map(_gone_by, others), max))
    for operation in operations:
        at = bisect_right(starts, operation.ended or operation.started) - 1
        while at >= 0 and latest[at] >= operation.started:
            other = others[at]
            if other is not operation and _gone_by(other) >= operation.started:
                break
            at -= 1
        else:
            yield operation


def _overtaken(operations: list[Operation]) -> Iterator[Violation]:
    """Who gave way under a shared lock did so to a mark, committed after it had entered."""
    wrote = writers(operations)
    for one in operations:
        if one.outcome is not Outcome.OVERTAKEN:
            continue
        others = (other for write in one.writes.items() for other in wrote.get(write, ()))
        if not any(
            other.shared
            and (other.leaving or inf) <= (one.ended or inf)
            and _gone_by(other) >= (one.entered or one.started)
            for other in others
        ):
            yield Violation(Rule.OVERTAKEN, f"{one.id} gave way in {list(one.writes)}")


def _gone_by(operation: Operation) -> float:
    """When its transaction is over at the latest."""
    if operation.ended is None:
        return operation.started + KILLED_LINGERS
    broken = operation.outcome in {Outcome.FAILED, Outcome.UNKNOWN}
    return operation.ended + (BROKEN_LINGERS if broken else 0)
