"""What the times of the operations must satisfy.

A worker notes a time just after it has got the lock and just before it sends its commit.
The lock is held from before the first until after the second, so two such spans of one
group that overlap are two holders, whatever delays the workers had. (The time after the
commit has returned would not do: the next holder may have entered before the last one's
worker reads its answer.)
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, pairwise

from tests.soak.history import REFUSED, Kind, Operation, Outcome
from tests.soak.violation import Rule, Violation

HELD_TO_THE_END = frozenset({Outcome.GENERATED, Outcome.ROLLED_BACK})
BROKEN_LINGERS = 2.0
"""Seconds that a broken connection's transaction may outlive its client's knowledge of it."""
KILLED_LINGERS = 15.0
"""The same from the beginning of an operation whose worker was killed."""

Span = tuple[float, float, str]


def violations(operations: list[Operation]) -> Iterator[Violation]:
    """Every violation in the times; ``operations`` are sorted by their start."""
    for group in _by(operations, lambda operation: operation.group):
        yield from _overlaps(Rule.OVERLAP, _spans(group, lambda one: one.entered))
        yield from _order(group)
        yield from _reads(group)
    for student in _by(operations, lambda operation: operation.student):
        yield from _overlaps(Rule.STUDENT_LOCK, _spans(student, lambda one: one.planned))
        yield from _groundless(student)


def _by(
    operations: Iterable[Operation], key: Callable[[Operation], str]
) -> Iterable[list[Operation]]:
    found: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        found[key(operation)].append(operation)
    return found.values()


def _spans(
    operations: Iterable[Operation], since: Callable[[Operation], float | None]
) -> list[Span]:
    return sorted(
        (begun, one.leaving, one.id)
        for one in operations
        if one.outcome in HELD_TO_THE_END
        and one.leaving is not None
        and (begun := since(one)) is not None
    )


def _overlaps(rule: Rule, spans: list[Span]) -> Iterator[Violation]:
    latest: Span | None = None
    for span in spans:
        if latest is not None and span[0] < latest[1]:
            by = 1000 * (min(latest[1], span[1]) - span[0])
            yield Violation(rule, f"{latest[2]} and {span[2]}, for {by:.2f} ms")
        if latest is None or span[1] > latest[1]:
            latest = span


def _order(group: list[Operation]) -> Iterator[Violation]:
    made = [one for one in group if one.outcome is Outcome.GENERATED]
    for earlier, later in pairwise(sorted(made, key=lambda one: one.number or 0)):
        if earlier.number == later.number:
            yield Violation(Rule.REPEAT, f"{earlier.id} and {later.id} both made {later.number}")
        elif (later.leaving or 0) < (earlier.entered or 0):
            yield Violation(
                Rule.ORDER, f"{later.id} made {later.number} before {earlier.number} was begun"
            )


def _reads(group: list[Operation]) -> Iterator[Violation]:
    made = {one.number: one for one in group if one.outcome is Outcome.GENERATED}
    answered = sorted((one.ended or 0, one.number or 0) for one in made.values())
    ends = [end for end, _ in answered]
    highest = list(accumulate((number for _, number in answered), max))
    for read in group:
        if read.outcome is not Outcome.READ:
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
    """Refusals in whose time nobody else of the group or the student was about anything."""
    asking = [one for one in student if one.kind is not Kind.READ]
    starts = [one.started for one in asking]
    latest = list(accumulate(map(_gone_by, asking), max))
    for refused in asking:
        if refused.outcome not in REFUSED:
            continue
        at = bisect_right(starts, refused.ended or refused.started) - 1
        while at >= 0 and latest[at] >= refused.started:
            other = asking[at]
            if other is not refused and _gone_by(other) >= refused.started:
                break
            at -= 1
        else:
            yield Violation(Rule.GROUNDLESS, f"{refused.id} was told that somebody holds the lock")


def _gone_by(operation: Operation) -> float:
    """When its transaction is over at the latest."""
    if operation.ended is None:
        return operation.started + KILLED_LINGERS
    broken = operation.outcome in {Outcome.FAILED, Outcome.UNKNOWN}
    return operation.ended + (BROKEN_LINGERS if broken else 0)
