"""The difference between live plans and a new schedule: what is kept, moved, new and dropped.

The properties are stated on the result alone: how the plans were matched is not repeated here.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import fields, replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.scheduling.difference import Difference, PlanChanges, StoredPlan, difference
from domain.scheduling.result import ScheduledPlan
from domain.scheduling.types import PlanKind
from tests.unit.scheduling.build import row

NAMES = {item.name for item in fields(ScheduledPlan)}
CALENDAR = {"week", "cycle", "cycle_day"}
PLACE = NAMES - CALENDAR - {"sequence"}
OLD = row(1, 600, 660, 1, 10)
NEXT_DAY = OLD.date + timedelta(1)
Pair = tuple[StoredPlan, ScheduledPlan]
Case = tuple[list[StoredPlan], list[ScheduledPlan]]


def stored(plan: ScheduledPlan, number: int = 0) -> StoredPlan:
    """Return a live plan with ids of its own; a stored plan has no sequence."""
    return StoredPlan(UUID(int=number), UUID(int=1000 + number), 1, 1, replace(plan, sequence=None))


def compare(old: Iterable[ScheduledPlan], new: Iterable[ScheduledPlan]) -> Difference:
    return difference([stored(plan, number) for number, plan in enumerate(old)], new)


def outcome(old: ScheduledPlan, new: ScheduledPlan) -> PlanChanges:
    """Return how one live plan and one planned row compare."""
    return compare([old], [new]).changes(others=0)


KEPT, MOVED, OTHER = PlanChanges(kept=1), PlanChanges(moved=1), PlanChanges(new=1, dropped=1)

# Each field of a plan with another value, and what becomes of the plan.
CHANGED: list[tuple[dict[str, Any], PlanChanges]] = [
    ({"sequence": 7}, KEPT),
    ({"week": 2}, KEPT),
    ({"cycle": 2}, KEPT),
    ({"cycle_day": None}, KEPT),
    ({"date": NEXT_DAY}, MOVED),
    ({"start_minute": 610}, MOVED),
    ({"end_minute": 670}, MOVED),
    ({"wrap_up_minutes": 5}, MOVED),
    ({"reserve": True}, MOVED),
    # With units in common on the same day, but not on another one.
    ({"first_unit": 2}, MOVED),
    ({"last_unit": 9}, MOVED),
    ({"parts": 2}, MOVED),
    ({"part": 2, "parts": 2}, MOVED),
    ({"first_unit": 2, "date": NEXT_DAY}, OTHER),
    ({"last_unit": 9, "date": NEXT_DAY}, OTHER),
    ({"parts": 2, "date": NEXT_DAY}, OTHER),
    ({"part": 2, "parts": 2, "date": NEXT_DAY}, OTHER),
    ({"first_unit": 10, "last_unit": 12}, MOVED),
    ({"first_unit": 11, "last_unit": 12}, OTHER),
    ({"content": 2}, OTHER),
    ({"kind": PlanKind.REVIEW}, OTHER),
]


@pytest.mark.parametrize(("fields_", "expected"), CHANGED, ids=[str(case[0]) for case in CHANGED])
def test_difference_by_one_field(fields_: dict[str, Any], expected: PlanChanges) -> None:
    assert outcome(OLD, replace(OLD, **fields_)) == expected
    assert outcome(replace(OLD, **fields_), OLD) == expected


def test_difference_is_tested_for_each_field() -> None:
    assert set().union(*(case for case, _ in CHANGED)) == NAMES


def test_difference_of_nothing_is_empty() -> None:
    assert compare([], []) == Difference()
    assert compare([OLD], []).changes(others=0) == PlanChanges(dropped=1)
    assert compare([], [OLD]).changes(others=0) == PlanChanges(new=1)


def test_kept_plan_whose_calendar_differs_is_recounted() -> None:
    other = row(2, 600, 660, 11, 20)
    new = [replace(OLD, week=2, cycle=3, cycle_day=None), other]
    found = compare([OLD, other], new)
    assert found.recounted == ((stored(OLD, 0), new[0]),)
    assert (len(found.kept), found.retired) == (2, ())


def test_moved_and_dropped_plans_are_retired() -> None:
    later, gone = row(2, 600, 660, 11, 20), row(3, 600, 660, 21, 30)
    found = compare([OLD, later, gone], [OLD, replace(later, start_minute=610, end_minute=670)])
    assert [old.id.int for old in found.retired] == [1, 2]
    assert found.changes(others=4) == PlanChanges(kept=5, moved=1, dropped=1)


def test_plan_of_the_same_range_is_preferred_to_one_of_the_same_day() -> None:
    same_range, same_day = row(5, 600, 660, 1, 10), row(1, 700, 760, 5, 15)
    found = compare([same_range, same_day], [OLD])
    assert [(old.id.int, new) for old, new in found.moved] == [(0, OLD)]
    assert [old.id.int for old in found.dropped] == [1]


def test_plan_at_the_same_place_is_preferred_to_an_earlier_one_of_the_same_range() -> None:
    earlier = replace(OLD, kind=PlanKind.REVIEW, start_minute=500, end_minute=560)
    same = replace(earlier, start_minute=600, end_minute=660)
    found = compare([earlier, same], [same])
    assert [old.id.int for old, _ in found.kept] == [1]
    assert [old.id.int for old in found.dropped] == [0]


def test_plans_of_the_same_range_are_continued_in_order_of_time() -> None:
    days = [replace(OLD, kind=PlanKind.REVIEW, date=OLD.date + timedelta(n)) for n in range(5)]
    found = compare([days[1], days[0]], [days[4], days[3]])
    assert [(old.plan.date, new.date) for old, new in found.moved] == [
        (days[0].date, days[3].date),
        (days[1].date, days[4].date),
    ]


def test_plan_continues_the_one_of_its_day_with_the_most_units_in_common() -> None:
    few, most, some = row(1, 0, 20, 1, 3), row(1, 100, 120, 4, 9), row(1, 200, 220, 10, 11)
    found = compare([few, most, some], [row(1, 300, 360, 2, 10)])
    assert [old.id.int for old, _ in found.moved] == [1]
    assert [old.id.int for old in found.dropped] == [0, 2]


def test_pieces_of_a_unit_are_continued_by_the_pieces_of_the_same_number() -> None:
    pieces = [row(1, 600, 620, 7, 7, part=n, parts=2) for n in (1, 2)]
    later = [replace(piece, date=NEXT_DAY) for piece in pieces]
    moved = compare(pieces, reversed(later)).moved
    assert Counter((old.plan.part, new.part) for old, new in moved) == {(1, 1): 1, (2, 2): 1}


def row_values() -> st.SearchStrategy[dict[str, Any]]:
    """What a row has apart from its time; few values, so that rows often have them in common."""
    firsts = st.integers(1, 5)
    return st.fixed_dictionaries(
        {
            "content": st.integers(1, 2),
            "kind": st.sampled_from(PlanKind),
            "range": st.tuples(firsts, st.integers(0, 3)).map(lambda r: (r[0], sum(r))),
            "piece": st.sampled_from([(1, 1), (1, 1), (1, 1), (1, 2), (2, 2)]),
            "wrap_up_minutes": st.sampled_from([0, 0, 5]),
            "reserve": st.booleans(),
            "week": st.integers(1, 2),
            "cycle": st.integers(1, 2),
            "cycle_day": st.one_of(st.none(), st.integers(1, 2)),
            "minutes": st.sampled_from([20, 30]),
        }
    )


SLOTS = st.tuples(st.integers(0, 2), st.integers(0, 5))
Table = dict[tuple[int, int], dict[str, Any]]


def rows(table: Table) -> list[ScheduledPlan]:
    """Return a row per slot, in order of time; rows in different slots do not overlap."""
    found = []
    for sequence, ((day, slot), values) in enumerate(sorted(table.items(), key=lambda s: s[0]), 1):
        first, last = values["range"]
        part, parts = values["piece"]
        start, minutes = 600 + 30 * slot, values["minutes"]
        own = {name: values[name] for name in values.keys() & NAMES}
        found.append(
            ScheduledPlan(
                sequence=sequence,
                date=date(2025, 1, 6) + timedelta(day),
                start_minute=start,
                end_minute=start + minutes,
                first_unit=first,
                last_unit=last,
                part=part,
                parts=parts,
                **own,
            )
        )
    return found


@st.composite
def comparisons(draw: st.DrawFn) -> Case:
    """Live plans and a schedule that keeps some, moves some and changes some of them."""
    old: Table = draw(st.dictionaries(SLOTS, row_values(), max_size=12))
    new: Table = draw(st.dictionaries(SLOTS, row_values(), max_size=5))
    for slot, values in old.items():
        change = draw(st.sampled_from(["keep", "keep", "recount", "move", "cut", "drop"]))
        if change == "keep":
            new[slot] = values
        elif change == "recount":
            new[slot] = {**values, "week": 3}
        elif change == "move":
            new[draw(SLOTS)] = values
        elif change == "cut":
            new[slot] = {**values, "range": (values["range"][0], values["range"][0] + 1)}
    live = [stored(plan, number) for number, plan in enumerate(rows(old))]
    return live, rows(new)


many = settings(max_examples=120)


def same(one: ScheduledPlan, other: ScheduledPlan, names: Iterable[str]) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in names)


def of_one_range(one: ScheduledPlan, other: ScheduledPlan) -> bool:
    return same(one, other, ["content", "kind", "first_unit", "last_unit", "part", "parts"])


def units_in_common(one: ScheduledPlan, other: ScheduledPlan) -> int:
    """Return the number of common units of plans of one content, kind and day, otherwise 0."""
    if not same(one, other, ["content", "kind", "date"]):
        return 0
    units = [set(range(plan.first_unit, plan.last_unit + 1)) for plan in (one, other)]
    return len(units[0] & units[1])


def by_range(found: Difference) -> list[Pair]:
    """Return the moved pairs of the same range, which the second rule has matched."""
    return [pair for pair in found.moved if of_one_range(pair[0].plan, pair[1])]


def by_day(found: Difference) -> list[Pair]:
    return [pair for pair in found.moved if not of_one_range(pair[0].plan, pair[1])]


def count_ranges(plans: Iterable[ScheduledPlan]) -> Counter[tuple[Any, ...]]:
    return Counter(
        (plan.content, plan.kind, plan.first_unit, plan.last_unit, plan.part, plan.parts)
        for plan in plans
    )


@many
@given(comparisons())
def test_difference_has_every_plan_exactly_once(case: Case) -> None:
    live, planned = case
    found = difference(live, planned)
    pairs = [*found.kept, *found.moved]
    assert Counter([*(old.id for old, _ in pairs), *(old.id for old in found.dropped)]) == Counter(
        old.id for old in live
    )
    after = [*(new for _, new in pairs), *found.new]
    assert Counter(after) == Counter(planned)
    lineages = [old.lineage for old, _ in pairs]
    assert len(set(lineages)) == len(lineages)
    assert {old.id for old in found.retired} == {old.id for old in live} - {
        old.id for old, _ in found.kept
    }


@many
@given(comparisons())
def test_plans_are_kept_exactly_where_both_have_them(case: Case) -> None:
    live, planned = case
    found = difference(live, planned)
    assert all(same(old.plan, new, PLACE) for old, new in found.kept)
    both = [old for old in live if any(same(old.plan, new, PLACE) for new in planned)]
    assert {old.id for old, _ in found.kept} == {old.id for old in both}
    assert set(found.recounted) == {
        (old, new) for old, new in found.kept if not same(old.plan, new, CALENDAR)
    }


@many
@given(comparisons())
def test_plans_continue_as_many_plans_of_their_range_as_possible(case: Case) -> None:
    live, planned = case
    found = difference(live, planned)
    before = count_ranges(old.plan for old in live)
    before -= count_ranges(old.plan for old, _ in found.kept)
    after = count_ranges(planned) - count_ranges(new for _, new in found.kept)
    assert count_ranges(new for _, new in by_range(found)) == before & after
    for range_ in before & after:  # the earliest with the earliest
        pairs = [pair for pair in by_range(found) if range_ in count_ranges([pair[1]])]
        times = [(old.plan.date, old.plan.start_minute) for old, _ in pairs]
        assert times == sorted(times)


@many
@given(comparisons())
def test_other_moved_plans_have_the_most_units_of_their_day_in_common(case: Case) -> None:
    live, planned = case
    found = difference(live, planned)
    used = {old.id for old, _ in [*found.kept, *by_range(found)]}
    left = {old.id: old for old in live if old.id not in used}
    for old, new in by_day(found):
        in_common = max(units_in_common(other.plan, new) for other in left.values())
        assert units_in_common(left.pop(old.id).plan, new) == in_common > 0
    assert not any(units_in_common(old.plan, new) for old in found.dropped for new in found.new)


@many
@given(comparisons(), st.data())
def test_difference_does_not_depend_on_the_order_of_plans(case: Case, data: st.DataObject) -> None:
    live, planned = case
    old, new = data.draw(st.permutations(live)), data.draw(st.permutations(planned))
    assert difference(old, new) == difference(live, planned)


@pytest.mark.parametrize("per_day", [4, 10_000])
@pytest.mark.parametrize("longer", [1, 100_000])
def test_difference_reads_each_plan_a_limited_number_of_times(per_day: int, longer: int) -> None:
    reads = 0

    class Counting(ScheduledPlan):
        def __getattribute__(self, name: str) -> Any:
            nonlocal reads
            reads += 1
            return super().__getattribute__(name)

    def plans(count: int, **changes: int) -> list[ScheduledPlan]:
        """Return plans of which some are kept, some move, and some change their range."""
        made: list[ScheduledPlan] = []
        for number in range(count):
            day, start = 1 + number // per_day, 600 + 100 * (number % per_day)
            values = row(day, start, start + 60, 10 * number, 10 * number + 5)
            if number % 3 == 1:
                values = replace(values, start_minute=values.start_minute + changes["later"])
            if number % 3 == 2:
                last = values.last_unit + changes["longer"]
                first = last if changes["longer"] > 5 else values.first_unit
                values = replace(values, first_unit=first, last_unit=last)
            made.append(Counting(**{name: getattr(values, name) for name in NAMES}))
        return made

    def reads_of(count: int) -> int:
        nonlocal reads
        old, new = plans(count, later=0, longer=0), plans(count, later=5, longer=longer)
        live = [StoredPlan(UUID(int=n), UUID(int=n), 1, 1, plan) for n, plan in enumerate(old)]
        reads = 0
        kept, others = -(-count // 3), count // 3
        found = difference(live, new).changes(others=0)
        lost = 0 if longer < 10 else others
        assert found == PlanChanges(kept, count - kept - lost, new=lost, dropped=lost)
        return reads

    assert reads_of(800) <= 2.2 * reads_of(400)
