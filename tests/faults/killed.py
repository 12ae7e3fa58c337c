"""A client in a process of its own, which the test kills at a step of its generation."""

import multiprocessing
import os
import signal
from contextlib import nullcontext
from multiprocessing.connection import Connection
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import sessionmaker

from domain import PlanGroup
from domain.testing import FaultAt, Step
from domain.testing.contention import PATIENCE, eventually
from domain.testing.faults import CommitGate
from tests.concurrency.worlds import generate
from tests.factories import PlanGroupFactory
from tests.faults.stage import MIDDLE, Stage


def killed_client(stage: Stage, group: PlanGroup, step: Step) -> None:
    """Kill -9 a client that generates, while it is at the step."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    url = stage.url.render_as_string(hide_password=False)
    process = context.Process(
        target=_generate_in_a_process, args=(url, group.tenant_id, group.id, step, theirs)
    )
    gate = CommitGate(stage.aside) if step is Step.DURING_COMMIT else None
    with gate or nullcontext():
        process.start()
        theirs.close()
        assert process.pid is not None
        try:
            if gate is not None:
                eventually(lambda: gate.arrived() is not None, "the client commits")
            else:
                assert ours.poll(PATIENCE), "the client is at the step"
                backend = ours.recv()
                if step is Step.IN_THE_WRITE:
                    stage.wait_for_rows(backend)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.join(PATIENCE)
    ours.close()
    assert process.exitcode == -signal.SIGKILL


def _generate_in_a_process(
    url: str, tenant_id: UUID, group_id: UUID, step: Step, parent: Connection
) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    group = PlanGroupFactory.build(id=group_id, tenant_id=tenant_id)

    def stop_here(pid: int) -> None:
        parent.send(pid)
        parent.recv()

    # At the commit the client stands still by itself, for the parent has closed the gate.
    if step is Step.DURING_COMMIT:
        generate(sessionmaker(engine), group)
    else:
        with FaultAt(engine, step, stop_here, rows=MIDDLE):
            generate(sessionmaker(engine), group)
