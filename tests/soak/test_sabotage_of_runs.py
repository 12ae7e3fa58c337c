"""The checker detects each defect of what writes runs, marks and moves.

The fence and the constraints of the database are removed, because they would refuse most of the
damage, so that the checker must find it in the rows.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.soak.checker import Verdict, check_run
from tests.soak.draws import ALONE
from tests.soak.history import Kind, Outcome
from tests.soak.load import Load, conninfo_of, run_alone
from tests.soak.sabotage_of_runs import Defect, defective
from tests.soak.violation import Rule

BROKEN = {
    Defect.IGNORES_THE_FENCE: {Rule.LOST},
    Defect.FORGETS_TO_RETIRE: {Rule.LIVE, Rule.RETIRED},
    Defect.RAISES_VERSIONS: {Rule.TRACE},
    Defect.LOSES_LINEAGES: {Rule.LINEAGE},
    Defect.REWRITES_ALL: {Rule.DIFFERENCE},
    Defect.IGNORES_KEPT: {Rule.UNITS},
    Defect.OMITS_KEPT: {Rule.LIVE, Rule.LOST_UNITS},
    Defect.MISCOUNTS: {Rule.COUNTS},
    Defect.PLANS_ANEW: {Rule.UNDISTURBED, Rule.FROZEN},
    Defect.IGNORES_FROZEN: {Rule.FROZEN},
    Defect.LOSES_A_PLAN: {Rule.LOST_UNITS},
    Defect.UNDOES_ANOTHER: {Rule.UNDO},
    Defect.UNDOES_NOTHING: {Rule.REFUSED_UNDO},
    Defect.IGNORES_MARKS: {Rule.KEPT},
    Defect.REVIVES_ONE_LESS: {Rule.UNDO},
    Defect.REVIVES_ONE_MORE: {Rule.LIVE, Rule.RETIRED},
    Defect.REDO_RETIRES_ANEW: {Rule.RETIRED},
    Defect.MOVES_A_COPY: {Rule.LINEAGE},
    Defect.MARKS_ONE_LESS: {Rule.LOST},
}
"""The rules of which the checker must report one for each defect; it may report others, too."""

Judge = Callable[[Defect], Verdict]


@pytest.fixture
def judged(template: str, new_database: Callable[[str], sa.URL], tmp_path: Path) -> Judge:
    """Run one worker on one group, without faults and constraints, and return the verdict."""

    def judge(defect: Defect) -> Verdict:
        url = new_database(template)
        load = Load(
            80, processes=1, threads=1, tasks=0, students=(1,), faults=0, safeguards=False,
            weights=ALONE,
        )  # fmt: skip
        with defective(defect):
            run_alone(load, url, tmp_path)
        return check_run(tmp_path, conninfo_of(url))

    return judge


@pytest.mark.parametrize("defect", BROKEN)
def test_defect_is_detected(judged: Judge, defect: Defect) -> None:
    verdict = judged(defect)
    assert BROKEN[defect] & verdict.rules_broken, str(verdict)


def test_load_without_a_defect_breaks_no_rule_and_does_all_kinds_of_work(judged: Judge) -> None:
    verdict = judged(Defect.NOTHING)
    assert not verdict.violations, str(verdict)
    kinds = {kind for kind, outcome in verdict.outcomes if outcome == Outcome.DONE}
    assert kinds == {*ALONE, Kind.REDO}, str(verdict)


def test_defects_have_a_rule_each() -> None:
    assert {*BROKEN} == {*Defect} - {Defect.NOTHING}
