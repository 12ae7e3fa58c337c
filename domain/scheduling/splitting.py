"""Divides units that cannot be placed whole, with as few cuts as possible.

Units of at least a given length may be cut; the others are placed whole or not at all. The method
is dynamic programming over the spans, with bounds that drop most states; a limit on its steps
makes the worst case linear in the number of spans, and then the best solution found is returned.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from math import inf
from typing import Final, TypeAlias

SHORTEST_DIVISIBLE: Final = 20
"""Units with fewer minutes are never cut."""

_MAX_STEPS: Final = 6_000
"""The number of states that ``fewest_cuts`` examines at most, some 0.01 s."""

_MANY_SPANS: Final = 200

_MAX_NEEDED: Final = 16
"""After so many spans in a row that are needed, the others of their length are kept, too."""

_Cuts: TypeAlias = tuple[int, "_Cuts"] | None
_State: TypeAlias = tuple[int, _Cuts]


def divisible_reach(prefix: Sequence[int], lengths: Sequence[int], shortest: int) -> int:
    """Return how many units, from the first on, fit into spans of these lengths with cuts.

    Units of at least ``shortest`` minutes may be cut. Each span is filled as far as possible,
    which is optimal: from a further position, every later span also ends at least as far.
    """
    position = index = 0
    last = len(prefix) - 1
    for length in lengths:
        if index == last:
            break
        stop = position + length
        if stop >= prefix[index + 1]:
            index = bisect_right(prefix, stop, index) - 1
        is_divisible = index < last and prefix[index + 1] - prefix[index] >= shortest
        position = stop if is_divisible else max(position, prefix[index])
    return index


def fewest_cuts(
    prefix: Sequence[int], lengths: Sequence[int], shortest: int, at_most: float = inf
) -> list[int]:
    """Return the fewest cuts with which all units fit into spans of these lengths, in order.

    The cuts are minutes from the beginning of the first unit. Units of at least ``shortest``
    minutes may be cut. All units must fit (``divisible_reach``). If the search exceeds its limit of
    steps, or if more than ``at_most`` cuts are needed, the result may have more cuts than
    necessary.
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
    need, remaining, steps = prefix[-1], sum(lengths), 0
    longest = list(accumulate(reversed(lengths), max))[::-1]  # of each span and those after it
    solution = _greedy_solution(prefix, lengths, longest, shortest)
    fewest = min(len(solution), at_most + 1)
    furthest: list[_State] = [(0, None)]
    cuts = 0  # those of the first state
    bounds: dict[int, Callable[[int], int]] = {}  # only that of the current longest span
    for length, most in zip(lengths, longest, strict=True):
        if most not in bounds:
            bounds = {most: _bound(prefix, most)}
        furthest, cuts = _promising(furthest, cuts, fewest, bounds[most])
        steps += len(furthest)
        if not furthest or steps > _MAX_STEPS:
            break
        remaining -= length
        reached = _after_span(prefix, furthest, length, shortest)
        if reached[-1][0] >= need:
            found = bisect_left(reached, need, key=_position)
            if cuts + found < fewest:
                solution, fewest = _listed(reached[found][1]), cuts + found
        if fewest - cuts < len(reached):
            del reached[max(0, int(fewest - cuts)) :]
        dropped = bisect_left(reached, need - remaining, key=_position)
        furthest = reached[dropped:]
        cuts += dropped
    return solution


def equal_pieces(prefix: Sequence[int], cuts: Sequence[int], longest_day: int) -> list[int]:
    """Return as many cuts, moved so that the pieces of units over ``longest_day`` are equal."""
    moved: list[int] = []
    for start, stop in pairwise(prefix):
        inner = cuts[bisect_right(cuts, start) : bisect_left(cuts, stop)]
        if stop - start > longest_day:
            count = len(inner) + 1
            inner = [start + (stop - start) * piece // count for piece in range(1, count)]
        moved += inner
    return moved


def longest_spans(
    prefix: Sequence[int], cuts: list[int], lengths: Sequence[int], shortest: int
) -> tuple[Sequence[int], list[int]]:
    """Return the lengths without the shortest spans that are not needed for as few cuts.

    The spans that are left out have the length 0. Also returns the cuts in the other spans. The
    pieces of a unit can be more equal in long spans. Many spans are returned as they are.
    """
    if len(lengths) > _MANY_SPANS:
        return lengths, cuts
    # With more spans, no more cuts are needed.
    candidates = sorted(set(lengths), reverse=True)
    first, stop = 0, len(candidates)
    best = lengths, cuts
    while first < stop:
        middle = (first + stop) // 2
        kept = [length if length >= candidates[middle] else 0 for length in lengths]
        found = _as_few(prefix, cuts, kept, shortest)
        if found is not None:
            best, stop = (kept, found), middle
        else:
            first = middle + 1
    return _without_equal_spans(prefix, best[1], best[0], shortest)


def _without_equal_spans(
    prefix: Sequence[int], cuts: list[int], lengths: Sequence[int], shortest: int
) -> tuple[Sequence[int], list[int]]:
    """Return the lengths without those of the shortest spans that are not needed either."""
    least = min((length for length in lengths if length), default=0)
    equal = [index for index, length in enumerate(lengths) if length == least > 0]
    spare = sum(lengths) - prefix[-1]
    at, count, needed = 0, 1, 0
    while at < len(equal) and spare >= least and needed < _MAX_NEEDED:
        # Several spans at once are not needed if and only if each is not, after those before it.
        left_out = equal[at : at + min(count, spare // least)]
        fewer = list(lengths)
        for index in left_out:
            fewer[index] = 0
        found = _as_few(prefix, cuts, fewer, shortest)
        if found is not None:
            lengths, cuts, spare = fewer, found, spare - least * len(left_out)
            at, count, needed = at + len(left_out), 2 * count, 0
        elif len(left_out) == 1:
            at, needed = at + 1, needed + 1
        else:
            count = len(left_out) // 2
    return lengths, cuts


def _as_few(
    prefix: Sequence[int], cuts: list[int], lengths: Sequence[int], shortest: int
) -> list[int] | None:
    """Return at most as many cuts as the given ones with which the units fit, if there are such."""
    if divisible_reach(prefix, lengths, shortest) < len(prefix) - 1:
        return None
    found = fewest_cuts(prefix, lengths, shortest, len(cuts))
    return found if len(found) <= len(cuts) else None


def level_pieces(
    prefix: Sequence[int], cuts: Sequence[int], lengths: Sequence[int], longest_day: int
) -> list[int]:
    """Return as many cuts, moved so that the pieces of units over ``longest_day`` are more equal.

    Each piece stays in its span of ``lengths``, so it is only as long as the span allows.
    """
    moved: list[int] = []
    pieces = sorted({*prefix, *cuts})
    caps = _caps(pieces, lengths)
    for start, stop in pairwise(prefix):
        first, last = bisect_left(pieces, start), bisect_left(pieces, stop)
        inner = pieces[first + 1 : last]
        if inner and stop - start > longest_day:
            inner = [start + size for size in _level(stop - start, caps[first:last])][:-1]
        moved += inner
    return moved


def _caps(pieces: Sequence[int], lengths: Sequence[int]) -> list[int]:
    """Return how long each piece could be in the span in which it is, beside the others there."""
    caps: list[int] = []
    at = 0
    for length in lengths:
        stop = bisect_right(pieces, pieces[at] + length) - 1
        spare = length - (pieces[stop] - pieces[at])
        caps += [after - before + spare for before, after in pairwise(pieces[at : stop + 1])]
        at = stop
    return caps


def _level(total: int, caps: Sequence[int]) -> list[int]:
    """Return the ends of parts that add up to ``total``, as equal as the caps allow, in order."""
    sizes = [0] * len(caps)
    rest = total
    for count, index in enumerate(sorted(range(len(caps)), key=lambda i: caps[i])):
        sizes[index] = min(caps[index], rest // (len(caps) - count))
        rest -= sizes[index]
    return list(accumulate(sizes))


def _greedy_solution(
    prefix: Sequence[int], lengths: Sequence[int], longest: Sequence[int], shortest: int
) -> list[int]:
    """Return the cuts of a solution with few cuts: a greedy one, or else that of filling all spans.

    The greedy one cuts a unit only if no later span holds what remains of it.
    """
    last = len(prefix) - 1
    if not last:
        return []
    for only_if_needed in (True, False):
        position = index = 0
        cuts: list[int] = []
        for length, most in zip(lengths, longest, strict=True):
            stop = position + length
            if stop >= prefix[index + 1]:
                index = bisect_right(prefix, stop, index) - 1
            if index == last:
                return cuts
            whole = max(position, prefix[index])
            unit_stop = prefix[index + 1]
            is_divisible = whole < stop and unit_stop - prefix[index] >= shortest
            if is_divisible and (not only_if_needed or unit_stop - whole > most):
                position = stop
                cuts.append(stop)
            else:
                position = whole
    raise AssertionError("the caller must ensure that the units fit")


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


def _after_span(
    prefix: Sequence[int], furthest: Sequence[_State], length: int, shortest: int
) -> list[_State]:
    """Return the furthest states after one more span, by number of cuts from the same number on."""
    reached: list[_State] = []
    cut: _State | None = None  # the state with one cut less, after it has filled the span
    last = len(prefix) - 1
    for state in furthest:
        position, history = state
        stop = position + length
        index = bisect_right(prefix, stop) - 1
        whole = prefix[index]
        best = (whole, history) if whole > position else state
        if cut is not None and cut[0] > best[0]:
            best = cut
        if reached and reached[-1][0] > best[0]:
            best = reached[-1]
        reached.append(best)
        is_divisible = index < last and prefix[index + 1] - whole >= shortest
        filled = stop if is_divisible else whole
        cut = (filled, (filled, history)) if filled > position else None
    if cut is not None and cut[0] > reached[-1][0]:
        reached.append(cut)
    return reached


def _promising(
    furthest: list[_State], cuts: int, fewest: float, bound: Callable[[int], int]
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
