"""The rules of the times of the operations.

A worker records a time just after it has acquired the lock and another just before it sends its
commit. The lock is held from before the first until after the second. Two such spans of one group
that overlap therefore prove two simultaneous holders, whatever delays the workers had. This is only
allowed if both share the lock. The time after the commit has returned cannot be used, because the
next holder may enter before the worker of the last one reads the answer. An operation whose commit
did not succeed may have lost the lock at any time; it certainly held it until it sent its last
statement that was answered.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf

from tests.soak.history import PLANS, REFUSED, RUNS, Kind, Operation, Outcome
from tests.soak.resolved import writers
from tests.soak.violation import Rule, Violation

BROKEN_LINGERS = 5.0
"""The seconds for which a transaction may continue after its client has lost the connection."""
KILLED_LINGERS = 15.0
"""The same limit, from the start of an operation whose worker was killed."""


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """A period in which an operation certainly held a lock."""

    begin: float
    end: float
    id: str
    shared: bool = False


Stored = frozenset[str]


def violations(operations: list[Operation], stored: Stored) -> Iterator[Violation]:
    """Yield all violations in the times; ``operations`` must be sorted by start time."""
    for group, mine in _grouped(operations, lambda operation: operation.groups).items():
        yield from _overlaps(Rule.OVERLAP, spans(mine, stored, lambda one: one.entered))
        made = [one for one in mine if one.kind in RUNS and one.id in stored]
        yield from _order(made)
        yield from _stale_holders(group, mine, stored)
        yield from _reads(mine, {one.number: one for one in made})
    for mine in _grouped(operations, lambda operation: [operation.student]).values():
        # A request that gets an earlier answer plans nothing and only needs the group's lock.
        planners = [one for one in mine if one.kind in PLANS and not one.repeated]
        yield from _overlaps(Rule.STUDENT_LOCK, spans(planners, stored, lambda one: one.planned))
        yield from _groundless(mine)
    yield from _overtaken(operations)


def count_overlapping_shared(operations: Iterable[Operation], stored: Stored) -> int:
    """Count the shared spans that began during another shared span of the same group."""
    count = 0
    for mine in _grouped(operations, lambda operation: operation.groups).values():
        shared = spans((one for one in mine if one.shared), stored, lambda one: one.entered)
        ends = accumulate((span.end for span in shared), max)
        count += sum(later.begin < end for end, later in zip(ends, shared[1:], strict=False))
    return count


def spans(
    operations: Iterable[Operation], stored: Stored, since: Callable[[Operation], float | None]
) -> list[Span]:
    """Return the periods in which operations held a lock from ``since`` on, sorted by begin."""
    held = ((since(one), _until(one, stored), one) for one in operations)
    return sorted(
        Span(begin, end, one.id, one.shared)
        for begin, end, one in held
        if begin and end and begin < end
    )


def _until(operation: Operation, stored: Stored) -> float | None:
    answered = operation.id in stored or operation.outcome is Outcome.REPEATED
    return operation.committing if answered else operation.alive


def _grouped(
    operations: Iterable[Operation], keys: Callable[[Operation], Iterable[str]]
) -> dict[str, list[Operation]]:
    found: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        for key in keys(operation):
            found[key].append(operation)
    return found


def _overlaps(rule: Rule, held: list[Span]) -> Iterator[Violation]:
    # It suffices to compare each span with the earlier one that ends last, separately for shared
    # and exclusive spans: if any earlier span overlaps, that one does.
    latest: dict[bool, Span] = {}
    for span in held:
        for shared, other in latest.items():
            if span.begin < other.end and not (shared and span.shared):
                by = 1000 * (min(other.end, span.end) - span.begin)
                broken = Rule.SHARED_AND_EXCLUSIVE if shared or span.shared else rule
                yield Violation(broken, f"{other.id} and {span.id}, for {by:.2f} ms")
        if span.shared not in latest or span.end > latest[span.shared].end:
            latest[span.shared] = span


def _order(made: list[Operation]) -> Iterator[Violation]:
    for earlier, later in pairwise(sorted(made, key=lambda one: one.number or 0)):
        if earlier.number == later.number:
            yield Violation(
                Rule.REPEAT, f"{earlier.id} and {later.id} both stored number {later.number}"
            )
        elif (later.committing or 0) < (earlier.entered or 0):
            yield Violation(
                Rule.ORDER, f"{later.id} stored {later.number} before {earlier.number} was started"
            )


def _stale_holders(group: str, operations: list[Operation], stored: Stored) -> Iterator[Violation]:
    """A holder that entered after a commit was sent must see the changes of that commit.

    It has waited for the lock, which the commit released.
    """
    commits = sorted(
        (one.committing, one.number if one.kind in RUNS else 0, one.writes.get(group, 0))
        for one in operations
        if one.id in stored and one.committing is not None
    )
    ends = [committing for committing, _, _ in commits]
    numbers = list(accumulate((number or 0 for _, number, _ in commits), max))
    versions = list(accumulate((version for _, _, version in commits), max))
    for one in operations:
        if group not in one.seen or one.entered is None:
            continue
        if before := bisect_right(ends, one.entered):
            least = [numbers[before - 1], versions[before - 1]]
            if any(saw < must for saw, must in zip(one.seen[group], least, strict=True)):
                yield Violation(Rule.STALE_HOLDER, f"{one.id} saw {one.seen[group]} after {least}")


def _reads(group: list[Operation], made: dict[int | None, Operation]) -> Iterator[Violation]:
    answered = sorted((one.ended or 0, one.number or 0) for one in made.values() if one.made_run)
    ends = [end for end, _ in answered]
    highest = list(accumulate((number for _, number in answered), max))
    for read in group:
        if read.kind is not Kind.READ or read.outcome is not Outcome.DONE:
            continue
        before = bisect_right(ends, read.started)
        least = highest[before - 1] if before else 0
        if (read.number or 0) < least:
            yield Violation(Rule.STALE_READ, f"{read.id} saw run {read.number} after {least}")
        maker = made.get(read.number)
        if maker is not None and maker.started > (read.ended or 0):
            yield Violation(Rule.STALE_READ, f"{read.id} saw {read.number} before it was started")


def _groundless(student: list[Operation]) -> Iterator[Violation]:
    """Find refusals during which no other operation on the student's groups was in progress.

    Requests for a shared lock do not refuse each other.
    """
    asking = [one for one in student if one.kind is not Kind.READ]
    exclusive = [one for one in asking if not one.shared]
    for shared, others in ((False, asking), (True, exclusive)):
        refused = (one for one in asking if one.outcome in REFUSED and one.shared is shared)
        for one in _without_overlap(refused, others):
            yield Violation(
                Rule.GROUNDLESS, f"{one.id} was refused while no other request could hold the lock"
            )


def _without_overlap(
    operations: Iterable[Operation], others: list[Operation]
) -> Iterator[Operation]:
    """Yield the operations during which none of ``others``, sorted by start time, was in progress.

    ``latest`` holds the latest possible end of all operations up to an index, so that the search
    backwards stops as soon as no earlier operation can overlap.
    """
    starts = [one.started for one in others]
    latest = list(accumulate(map(_latest_end, others), max))
    for operation in operations:
        at = bisect_right(starts, operation.ended or operation.started) - 1
        while at >= 0 and latest[at] >= operation.started:
            other = others[at]
            if other is not operation and _latest_end(other) >= operation.started:
                break
            at -= 1
        else:
            yield operation


def _overtaken(operations: list[Operation]) -> Iterator[Violation]:
    """An overtaken mark needs another mark of the plan that was committed after it had entered."""
    wrote = writers(operations)
    for one in operations:
        if one.outcome is not Outcome.OVERTAKEN:
            continue
        others = (other for write in one.writes.items() for other in wrote.get(write, ()))
        if not any(
            other.shared
            and (other.committing or inf) <= (one.ended or inf)
            and _latest_end(other) >= (one.entered or one.started)
            for other in others
        ):
            yield Violation(Rule.OVERTAKEN, f"{one.id} was overtaken in {list(one.writes)}")


def _latest_end(operation: Operation) -> float:
    """Return the latest time at which the transaction of the operation can end."""
    if operation.ended is None:
        return operation.started + KILLED_LINGERS
    broken = operation.outcome in {Outcome.FAILED, Outcome.UNKNOWN}
    return operation.ended + (BROKEN_LINGERS if broken else 0)
