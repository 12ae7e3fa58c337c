"""The rules of reschedules and of lost units, with handwritten data.

The second run is a reschedule on the day of the generation, which moves both of its plans.
"""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from tests.soak.facts import ContentFact, Facts
from tests.soak.histories import MONDAY, broken, changed, facts, generated, run, undid, undo
from tests.soak.history import Kind, Operation
from tests.soak.violation import Rule

SUNDAY = MONDAY - timedelta(1)


def history(**fields: Any) -> list[Operation]:
    return [generated(1, 10), generated(2, 20, kind=Kind.RESCHEDULE, **fields)]


def rows(generated_on: date = SUNDAY, **fields: Any) -> Facts:
    return facts(runs=[run(1, today=generated_on), run(2, kind="rescheduled", **fields)])


def marked() -> Operation:
    """Return a mark of a plan between the two runs."""
    mark = generated(3, 15, kind=Kind.MARK, seen={"g": [1, 1]}, rows=0, digest="")
    return changed(mark, id="m", number=None, shared=True, writes={"g1.1": 2})


def test_reschedule_of_another_day_breaks_no_rule() -> None:
    assert broken(history(), rows()) == set()


def test_reschedule_that_changes_plans_although_nothing_has_happened_is_reported() -> None:
    assert broken(history(), rows(generated_on=MONDAY)) == {Rule.UNDISTURBED}
    later = MONDAY + timedelta(1)
    assert broken(history(), rows(generated_on=later)) == {Rule.UNDISTURBED}


def test_reschedule_after_a_mark_or_an_undo_may_change_plans() -> None:
    of_the_day = rows(generated_on=MONDAY)
    plans = [replace(of_the_day.plans[0], version=2), *of_the_day.plans[1:]]
    assert broken([*history(), marked()], facts(plans, of_the_day.runs)) == set()
    again = replace(run(2), number=4, requested_by="o4", kind="rescheduled", made_ids=[])
    undone = [run(1), run(2, undone_in=3), undo(3, 2), again]
    operations = [generated(1, 10), generated(2, 20), undid(3, 2, 30)]
    operations += [generated(4, 40, kind=Kind.RESCHEDULE)]
    assert Rule.UNDISTURBED not in broken(operations, facts(runs=undone))


@pytest.mark.parametrize(
    ("until", "rules"), [("2025-01-06", {Rule.UNDISTURBED}), ("2025-01-07", set())]
)
def test_reschedule_may_change_plans_of_days_that_the_last_one_has_frozen(
    until: str, rules: set[Rule]
) -> None:
    first = generated(1, 10, kind=Kind.RESCHEDULE, frozen_until=until)
    operations = [first, generated(2, 20, kind=Kind.RESCHEDULE)]
    runs = [run(1, kind="rescheduled"), run(2, kind="rescheduled")]
    found = broken(operations, facts(runs=runs))
    assert found & {Rule.UNDISTURBED} == rules


@pytest.mark.parametrize(("until", "rules"), [("2025-01-06", set()), ("2025-01-07", {Rule.FROZEN})])
def test_change_of_a_frozen_plan_is_reported(until: str, rules: set[Rule]) -> None:
    assert broken(history(frozen_until=until), rows()) == rules


def test_new_plan_in_the_past_of_a_reschedule_is_reported() -> None:
    later = MONDAY + timedelta(1)
    assert Rule.FROZEN in broken(history(), rows(today=later))


@pytest.mark.parametrize(("last", "rules"), [(29, set()), (30, {Rule.LOST_UNITS})])
def test_unit_that_no_run_plans_or_reports_is_lost(last: int, rules: set[Rule]) -> None:
    content = ContentFact("c", "g", position=0, first=10, last=last)
    found = replace(rows(), contents=[content])
    assert broken(history(), found) == rules
    reported = [replace(one, unplaced=[(0, 30, 30)]) for one in found.runs]
    assert broken(history(), replace(found, runs=reported)) == set()


def test_run_of_another_kind_than_its_request_is_reported() -> None:
    assert broken(history(), facts()) == {Rule.TRACE}
