"""Sittings, and a layout of a day that shows for which rules of ``balanced`` it has the room.

A sitting is a series of rows without a pause between them; a gap shorter than ``pause_minutes`` is
no pause. Its length is the sum of the minutes of its rows. New rows only count, not those of kept
plans and of other groups.

``laid_out`` moves the rows of a day later within their spans, in the same order, and divides them
between units for pauses. If that succeeds, the day has the room; if not, another order or other
spans may have it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate, pairwise

from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import ContentType, PlanKind, Request
from tests.unit.scheduling.checking.case import Case, units

MARK = 5
SHORTEST_PIECE = 10
Atoms = list[int]
"""The minutes of what is never interrupted: units, pieces of units, a unit with its wrap-up."""


@dataclass(frozen=True)
class Sitting:
    """Rows of one day without a pause between them."""

    rows: tuple[ScheduledPlan, ...]

    @property
    def minutes(self) -> int:
        """The minutes of the rows."""
        return sum(row.minutes for row in self.rows)

    def is_too_long(self, request: Request) -> bool:
        """Whether there should be a pause: the sitting is too long and more than one unit."""
        one_unit = len(self.rows) == 1 and len(units(self.rows[0])) == 1
        return self.minutes > request.longest_sitting and not one_unit


def sittings(case: Case, day: date) -> list[Sitting]:
    """Return the sittings of a day."""
    found: list[list[ScheduledPlan]] = []
    for row in case.rows_on(day):
        gap = row.start_minute - found[-1][-1].end_minute if found else None
        if gap is None or gap >= case.request.pause_minutes:
            found.append([row])
        else:
            found[-1].append(row)
    return [Sitting(tuple(rows)) for rows in found]


def long_sittings(case: Case, day: date) -> list[Sitting]:
    """Return the sittings of a day in which there should be a pause; none if it has no minutes."""
    if not case.request.pause_minutes:
        return []
    return [one for one in sittings(case, day) if one.is_too_long(case.request)]


def off_marks(case: Case, day: date) -> list[ScheduledPlan]:
    """Return the rows of a day that do not begin on a five-minute mark."""
    return [row for row in case.rows_on(day) if row.start_minute % MARK]


def atoms(case: Case, row: ScheduledPlan) -> Atoms:
    """Return the minutes of the units of a row; a wrap-up belongs to the last unit."""
    if row.parts > 1:
        return [row.minutes]
    if row.kind is PlanKind.REVIEW:
        return _review_atoms(case, row)
    costs = [case.amounts[row.content].minutes[unit] for unit in units(row)]
    return [*costs[:-1], costs[-1] + row.wrap_up_minutes]


def _review_atoms(case: Case, row: ScheduledPlan) -> Atoms:
    """Return the minutes of a review's units: their shares of all that its cycle reviews.

    The minutes of consecutive units are divided by cumulative proportion. If that does not give a
    row its minutes, because a unit is cut, its own minutes are divided.
    """
    costs = case.amounts[row.content].minutes
    rows = _whole_review(case, row)
    numbers = range(rows[0].first_unit, rows[-1].last_unit + 1)
    shares = _shares([costs[unit] for unit in numbers], sum(one.minutes for one in rows))
    first = row.first_unit - numbers.start
    own = shares[first : first + len(units(row))]
    if sum(own) != row.minutes:
        own = _shares([costs[unit] for unit in units(row)], row.minutes)
    return [minutes for minutes in own if minutes]


def _whole_review(case: Case, row: ScheduledPlan) -> Sequence[ScheduledPlan]:
    """Return the rows of a cycle that review consecutive units, one of which is in a row."""
    same = (o for o in case.reviews if (o.cycle, o.content) == (row.cycle, row.content))
    found: list[ScheduledPlan] = []
    for other in sorted(same, key=lambda one: (one.first_unit, one.part)):
        if found and other.first_unit > found[-1].last_unit + 1:
            if row in found:
                break
            found = []
        found.append(other)
    return found


def _shares(costs: Sequence[int], minutes: int) -> list[int]:
    """Return the shares of each unit in a number of minutes, by cumulative proportion, half up."""
    total = sum(costs)
    ends = [(2 * minutes * end + total) // (2 * total) for end in accumulate(costs)]
    return [after - before for before, after in pairwise([0, *ends])]


def joined(case: Case, rows: Sequence[ScheduledPlan]) -> list[Atoms]:
    """Return the rows of a span as if there were no pauses: neighbours of a content are one row."""
    found: list[Atoms] = []
    for index, row in enumerate(rows):
        before = rows[index - 1] if index else None
        if before and _continues(case, before, row):
            found[-1].extend(atoms(case, row))
        else:
            found.append(atoms(case, row))
    return found


def _continues(case: Case, before: ScheduledPlan, row: ScheduledPlan) -> bool:
    is_episode = (
        row.kind is PlanKind.STUDY
        and case.contents[row.content].type is ContentType.LECTURE
    )  # fmt: skip
    same = (before.content, before.kind, before.parts) == (row.content, row.kind, row.parts)
    return same and row.parts == 1 and not is_episode and before.last_unit + 1 == row.first_unit


def laid_out(case: Case, day: date, *, marks: bool) -> bool:
    """Whether the spans of a day hold its rows in this order with pauses, and on marks."""
    spans = []
    for slot in case.slots[day]:
        rows = [row for row in case.rows_on(day) if case.slot_of(row) == slot]
        if rows:
            spans.append((slot[1], slot[2], joined(case, rows)))
    return lay_out(case.request, spans, marks=marks)


Spans = Sequence[tuple[int, int, list[Atoms]]]
"""Spans in order of time: start, end and rows."""


def lay_out(request: Request, spans: Spans, *, marks: bool) -> bool:
    """Whether the spans hold their rows with pauses, and on five-minute marks if ``marks``."""
    sitting, last_end = 0, None
    for start, end, rows in spans:
        time = start
        if last_end is None or time - last_end >= request.pause_minutes:
            sitting = 0
        for row in rows:
            pieces = _pieces(row, sitting, request)
            if pieces is None:
                return False
            for piece, follows_pause in pieces:
                if follows_pause:
                    time, sitting = time + request.pause_minutes, 0
                if marks:
                    time = -(-time // MARK) * MARK
                time, sitting = time + sum(piece), sitting + sum(piece)
        if time > end:
            return False
        last_end = time
    return True


def _pieces(row: Atoms, sitting: int, request: Request) -> list[tuple[Atoms, bool]] | None:
    """Return the pieces between which a row needs a pause, each with whether one precedes it.

    A piece is as long as the sitting allows, but no piece is under ten minutes. ``None`` means that
    no such pieces were found.
    """
    if not request.pause_minutes:
        return [(row, False)]
    found: list[tuple[Atoms, bool]] = []
    rest, follows_pause = row, False
    while rest:
        count = _cut(rest, request.longest_sitting - sitting)
        if not count and not sitting and len(rest) > 1 and rest[0] <= request.longest_sitting:
            return None
        if count or not sitting:
            found.append((rest[: max(1, count)], follows_pause))
            rest = rest[max(1, count) :]
        sitting, follows_pause = 0, True
    return found


def _cut(row: Atoms, limit: int) -> int:
    """Return how many units of a row come before a pause: all, or none if the limit is too low."""
    if sum(row) <= limit:
        return len(row)
    ends = list(accumulate(row))
    for count in range(len(row) - 1, 0, -1):
        left, right = ends[count - 1], ends[-1] - ends[count - 1]
        if left <= limit and left >= SHORTEST_PIECE and right >= SHORTEST_PIECE:
            return count
    return 0
