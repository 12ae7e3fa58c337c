"""A group has either the old or the new plans, all of them, after every fault at every step.

The matrix has no empty cell. ``pg_cancel_backend`` cancels the statement that the backend executes.
At four of the steps the backend waits for its client and executes nothing; there the tests show
that the cancellation has no effect, neither immediately nor later. ``test_at_work`` cancels running
statements.
"""

from dataclasses import replace

import pytest

from domain.testing import Step
from tests.faults.stage import FAULTS, RUNS, Outcome, Stage
from tests.integration.storing import traces

OLD, NEW = Outcome.OLD, Outcome.NEW

# In the last column the backend executes COMMIT and has not yet written the commit record. A fault
# that stops the backend or the server leaves the old plans; this includes an exception in the
# client, because the package then cancels the commit. A fault that only affects the client or the
# network does not reach the server, which commits: the error does not mean that nothing was stored.
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


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(("fault", "step", "expected"), CELLS)
def test_group_has_the_old_or_the_new_plans_and_the_next_request_succeeds(
    *, stage: Stage, fault: str, step: Step, expected: Outcome, run: str
) -> None:
    stage = replace(stage, run=run)
    group = stage.planned_group(step)
    before = traces(stage.direct, group.id)
    FAULTS[fault](stage, group, step)
    stage.assert_locks_are_free(group)
    assert stage.outcome(group, before) is expected
    stage.assert_the_next_request_succeeds(group)


def test_matrix_has_a_row_per_fault_and_a_column_per_step() -> None:
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
