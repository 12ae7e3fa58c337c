"""Whatever goes wrong, wherever: a group has the old plans or the new ones, whole.

Every fault strikes at every step; no cell is left out. To cancel is to stop what the backend
is running. At four steps it waits for its client and runs nothing, so what is shown there is
that a cancel has no effect, at once or later; ``test_at_work`` cancels running statements.
"""

import pytest

from domain.testing import Step
from tests.faults.stage import FAULTS, Outcome, Stage
from tests.integration.storing import traces

OLD, NEW = Outcome.OLD, Outcome.NEW

# In the last column the backend is inside its COMMIT, before the point of no return. Who asks
# the server to stop, or takes the server away, gets the old plans; the package itself asks it
# when an exception has ended its own waiting. Who takes the client away does not reach the
# server, which goes on and commits: the client's error does not mean that nothing was done.
MATRIX = {
    #                         before the lock, after it, after the read,
    #                         in the write, before the commit, during it
    "exception":             (OLD, OLD, OLD, OLD, OLD, OLD),
    "kill -9 of the client": (OLD, OLD, OLD, OLD, OLD, NEW),
    "pg_terminate_backend":  (OLD, OLD, OLD, OLD, OLD, OLD),
    "pg_cancel_backend":     (NEW, NEW, NEW, OLD, NEW, OLD),
    "network cut":           (OLD, OLD, OLD, OLD, OLD, NEW),
    "server crash":          (OLD, OLD, OLD, OLD, OLD, OLD),
}  # fmt: skip
CELLS = [
    pytest.param(fault, step, outcome, id=f"{fault}-{step.value}")
    for fault, outcomes in MATRIX.items()
    for step, outcome in zip(Step, outcomes, strict=True)
]


@pytest.mark.parametrize(("fault", "step", "expected"), CELLS)
def test_the_group_has_the_old_plans_or_the_new_ones_and_the_next_request_succeeds(
    stage: Stage, fault: str, step: Step, expected: Outcome
) -> None:
    group = stage.planned_group(step)
    before = traces(stage.aside, group.id)
    FAULTS[fault](stage, group, step)
    stage.assert_locks_are_free(group)
    assert stage.outcome(group, before) is expected
    stage.assert_the_next_request_succeeds(group)


def test_every_fault_has_its_row_and_every_step_its_column() -> None:
    assert MATRIX.keys() == FAULTS.keys()
    assert [step.value for step in Step] == [
        "before the lock",
        "after the lock",
        "after the read",
        "in the middle of the write",
        "before the commit",
        "during the commit",
    ]
    assert len(CELLS) == 36
