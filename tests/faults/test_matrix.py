"""Whatever goes wrong, wherever: a group has the old plans or the new ones, whole."""

import pytest

from domain.testing import Step
from tests.concurrency.worlds import traces
from tests.faults.kinds import FAULTS, RUNNING
from tests.faults.stage import Outcome, Stage

# A backend inside its COMMIT, before the point of no return. Who asks the server to stop,
# or takes the server away, gets the old plans. Who takes the client away does not reach the
# server, which goes on and commits: the client's error does not mean that nothing was done.
DURING_COMMIT = {
    "exception": Outcome.NEW,
    "kill -9 of the client": Outcome.NEW,
    "network cut": Outcome.NEW,
    "pg_terminate_backend": Outcome.OLD,
    "pg_cancel_backend": Outcome.OLD,
    "server crash": Outcome.OLD,
}


def expected(fault: str, step: Step) -> Outcome:
    if step is Step.DURING_COMMIT:
        return DURING_COMMIT[fault]
    if fault == "pg_cancel_backend" and step not in RUNNING:
        return Outcome.NEW  # the backend waits for its client: nothing to cancel, nothing lost
    return Outcome.OLD


@pytest.mark.parametrize("step", Step, ids=lambda step: step.value)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_group_has_the_old_plans_or_the_new_ones_and_the_next_request_succeeds(
    stage: Stage, fault: str, step: Step
) -> None:
    group = stage.planned_group(step)
    before = traces(stage.aside, group.id)
    FAULTS[fault](stage, group, step)
    stage.assert_locks_are_free(group)
    assert stage.outcome(group, before) is expected(fault, step)
    stage.assert_the_next_request_succeeds(group)
