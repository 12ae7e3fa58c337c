"""Divides units that cannot be placed whole, with as few cuts as possible."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise


def fewest_cuts(prefix: Sequence[int], lengths: Iterable[int]) -> list[int] | None:
    """Return the fewest cuts with which all units fit into spans of these lengths, in order.

    The cuts are minutes from the beginning of the first unit. Returns ``None`` if the spans hold
    fewer minutes than the units need.
    """
    # Dynamic programming over the spans: for each number of cuts, ``furthest`` has the furthest
    # position in minutes and the cuts that lead to it. Only that one has to be kept, because from
    # a further position every later span also ends at least as far. A span holds whole units, or
    # is filled completely with one more cut.
    #
    # States are dropped if the remaining spans cannot hold the rest (they are those with the fewest
    # cuts), or if they cannot lead to fewer cuts than a solution that is already known, by a lower
    # bound: a unit of ``u`` minutes has at least ⌈u / M⌉ − 1 cuts if no span is longer than M. The
    # first solution is a greedy one. The cost is the number of spans × that of remaining states.
    need, spans = prefix[-1], list(lengths)
    remaining = sum(spans)
    if remaining < need:
        return None
    longest = list(accumulate(reversed(spans), max))[::-1]  # of each span and those after it
    solution = _first_solution(prefix, spans, longest)
    fewest = len(_listed(solution))
    furthest: list[_State] = [(0, None)]
    cuts = 0  # those of the first state
    bounds: dict[int, Callable[[int], int]] = {}  # only that of the current longest span
    for length, most in zip(spans, longest, strict=True):
        if most not in bounds:
            bounds = {most: _bound(prefix, most)}
        furthest, cuts = _promising(furthest, cuts, fewest, bounds[most])
        if not furthest:
            break
        remaining -= length
        reached = _after_span(prefix, furthest, length)
        if reached[-1][0] >= need:
            found = bisect_left(reached, need, key=_position)
            if cuts + found < fewest:
                solution, fewest = reached[found][1], cuts + found
        del reached[max(0, fewest - cuts) :]
        dropped = bisect_left(reached, need - remaining, key=_position)
        furthest = reached[dropped:]
        cuts += dropped
    return _listed(solution)


def _first_solution(prefix: Sequence[int], spans: Sequence[int], longest: Sequence[int]) -> "_Cuts":
    """Return the cuts of a solution with few cuts: a greedy one, or else that of filling all spans.

    The greedy one cuts a unit only if no later span holds what remains of it.
    """
    need = prefix[-1]
    for only_if_needed in (True, False):
        position = 0
        history: _Cuts = None
        for length, most in zip(spans, longest, strict=True):
            stop = min(position + length, need)
            whole = max(position, prefix[bisect_right(prefix, stop) - 1])
            end_of_unit = prefix[min(bisect_right(prefix, whole), len(prefix) - 1)]
            if whole < stop and (not only_if_needed or end_of_unit - whole > most):
                position, history = stop, (stop, history)
            else:
                position = whole
        if position >= need:
            return history
    raise AssertionError("the spans hold all minutes")


def _bound(prefix: Sequence[int], most: int) -> Callable[[int], int]:
    """Return a lower bound of the cuts from a position on, in spans of at most ``most`` minutes."""
    if not most:
        return lambda _: 0
    units = [after - before for before, after in pairwise(prefix)]
    # The cuts of the units from each index on.
    later = list(accumulate((max(0, -(-unit // most) - 1) for unit in reversed(units)), initial=0))
    later.reverse()

    def bound(position: int) -> int:
        index = bisect_right(prefix, position)  # the first unit that ends after the position
        if index == len(prefix):
            return 0
        return later[index] + max(0, -(-(prefix[index] - position) // most) - 1)

    return bound


_Cuts = tuple[int, "_Cuts"] | None
_State = tuple[int, _Cuts]


def _after_span(prefix: Sequence[int], furthest: Sequence[_State], length: int) -> list[_State]:
    """Return the furthest states after one more span, by number of cuts from the same number on."""
    need = prefix[-1]
    reached: list[_State] = []
    previous: _State | None = None  # the state with one cut less, before this span
    for state in furthest:
        position, history = state
        best = (prefix[bisect_right(prefix, position + length) - 1], history)
        if best[0] < position:
            best = state
        if previous is not None and (filled := min(previous[0] + length, need)) > best[0]:
            best = (filled, (filled, previous[1]))
        if reached and reached[-1][0] > best[0]:
            best = reached[-1]
        reached.append(best)
        previous = state
    if previous is not None and (filled := min(previous[0] + length, need)) > reached[-1][0]:
        reached.append((filled, (filled, previous[1])))
    return reached


def _promising(
    furthest: list[_State], cuts: int, fewest: int, bound: Callable[[int], int]
) -> tuple[list[_State], int]:
    """Drop the first and the last states that cannot lead to fewer cuts than ``fewest``.

    States in between are kept, because the number of cuts is the index. Also returns the number of
    cuts of the first state.
    """
    first, stop = 0, len(furthest)
    while first < stop and cuts + first + bound(furthest[first][0]) >= fewest:
        first += 1
    while first < stop and cuts + stop - 1 + bound(furthest[stop - 1][0]) >= fewest:
        stop -= 1
    return furthest[first:stop], cuts + first


def _position(state: _State) -> int:
    return state[0]


def _listed(history: _Cuts) -> list[int]:
    cuts: list[int] = []
    while history is not None:
        position, history = history
        cuts.append(position)
    return cuts[::-1]
