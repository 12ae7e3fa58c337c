"""The sessions of a day, and its free spans. A *session* is what a content gets on one day."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

SHORTEST_PIECE: Final = 10
"""The least minutes of a piece of a session of study that is cut."""
SHORTEST_REVIEW: Final = 5
"""The same for a review."""
NEEDLESS: Final = 2
"""What it costs to divide a session that a span could hold, in cuts of another one."""


class Session(NamedTuple):
    """Units of a content on one day: the items of each row, in order, and a wrap-up after them."""

    prefix: Sequence[int]
    rows: Sequence[range]
    wrap_up: int = 0
    shortest_piece: int = SHORTEST_PIECE
    is_weakness: bool = False

    @property
    def minutes(self) -> int:
        """The length, with the wrap-up."""
        return self.prefix[self.rows[-1].stop] - self.prefix[self.rows[0].start] + self.wrap_up

    def length(self, items: range) -> int:
        """Return the length of some items, with the wrap-up after the last one."""
        wrap_up = self.wrap_up if items.stop == self.rows[-1].stop else 0
        return self.prefix[items.stop] - self.prefix[items.start] + wrap_up

    @property
    def longest_unit(self) -> int:
        """At least the length of the longest item, with the wrap-up if it is the last one."""
        inside = self.prefix[self.rows[0].start : self.rows[-1].stop + 1]
        return max(after - before for before, after in pairwise(inside)) + self.wrap_up

    @property
    def items(self) -> range:
        """The items of all rows."""
        return range(self.rows[0].start, self.rows[-1].stop)

    def fitting(self, items: range, limit: int) -> range:
        """Return the first items that fit into ``limit`` minutes, so that no piece is too short."""
        if self.length(items) <= limit:
            return items
        prefix, first, stop = self.prefix, items.start, items.stop
        at = min(bisect_right(prefix, prefix[first] + limit, first, stop) - 1, stop - 1)
        after = self.length(range(first, stop)) + prefix[first]
        while at > first and after - prefix[at] < self.shortest_piece:
            at -= 1
        if prefix[max(at, first)] - prefix[first] < self.shortest_piece:
            at = first
        return range(first, at)

    def least(self, items: range) -> range:
        """Return the fewest first items so that neither they nor the others are too short."""
        for at in items[1:]:
            head, rest = range(items.start, at), range(at, items.stop)
            if min(self.length(head), self.length(rest)) >= self.shortest_piece:
                return head
        return items

    def beginnings(self, items: range, shortest: int, longest: int) -> Iterator[range]:
        """Yield the first items that have so many minutes, the longest ones first.

        Neither they nor the others are too short.
        """
        prefix, first, stop = self.prefix, items.start, items.stop
        after = self.length(items) + prefix[first]
        at = min(self.fitting(items, longest).stop, stop - 1)
        while at > first:
            minutes, rest = prefix[at] - prefix[first], after - prefix[at]
            if minutes < max(shortest, self.shortest_piece):
                return
            if rest >= self.shortest_piece:
                yield range(first, at)
            at -= 1


class FreeSpan(NamedTuple):
    """A free span of a day, and whether it is in the reserve."""

    start: int
    stop: int
    reserve: bool


Pieces: TypeAlias = list[list[range]]
"""For each span, in order of time, the items of each session; empty ranges for none."""


def division_cost(session: Session, minutes: Sequence[int], longest_span: int) -> tuple[int, int]:
    """Return how many pieces of a session are too short, and what its cuts cost.

    Each cut costs 1. A session that the longest span could hold costs ``NEEDLESS`` more, once.
    """
    cuts = len(minutes) - 1
    if not cuts:
        return 0, 0
    short = sum(one < session.shortest_piece for one in minutes)
    return short, cuts + (NEEDLESS if session.minutes <= longest_span else 0)
