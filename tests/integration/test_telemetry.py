"""Spans and metrics of locks and generations, as the OpenTelemetry SDK exports them."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroupLock, PlanGroupLockedError, UnitOfWork
from domain.errors import LockTimeoutError, NoContentsError, UndoNotPossibleError
from domain.services import UndoService
from domain.telemetry import instrument, uninstrument
from tests.integration.asking import acquire, backend_pid
from tests.integration.storing import book_group, enter, generate, request, stored_group

Factory = sessionmaker[Session]


class Exported:
    """The exported spans and metric points, by name."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
            if metric.name == name
        ]


@pytest.fixture
def exported() -> Iterator[Exported]:
    exported = Exported()
    instrument(exported.tracers, exported.meters)
    yield exported
    uninstrument()
    exported.meters.shutdown()
    exported.tracers.shutdown()


def test_lock_span_follows_the_semantic_conventions_for_databases(
    session_factory: Factory, exported: Exported, tenant_id: UUID, group_id: UUID
) -> None:
    enter(session_factory, PlanGroupLock(tenant_id, group_id))
    (span,) = exported.spans("acquire_group_lock")
    assert span.kind is SpanKind.CLIENT
    assert span.attributes == {
        "db.system.name": "postgresql",
        "db.operation.name": "acquire_group_lock",
        "studyplan.outcome": "acquired",
        "studyplan.scope": "group",
        "studyplan.group_id": str(group_id),
    }
    assert span.status.status_code is StatusCode.UNSET


def test_refusal_span_has_the_error_type_and_the_holder(
    session_factory: Factory,
    connection: sa.Connection,
    exported: Exported,
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    acquire(connection, group_id)
    with pytest.raises(PlanGroupLockedError):
        enter(session_factory, PlanGroupLock(tenant_id, group_id))
    (span,) = exported.spans("acquire_group_lock")
    assert span.attributes is not None
    assert span.attributes["error.type"] == "plan_group_locked"
    assert span.attributes["studyplan.holder.pid"] == backend_pid(connection)
    assert span.status.status_code is StatusCode.ERROR


def test_wait_is_the_duration_of_the_span_and_is_added_to_the_histogram_in_seconds(
    session_factory: Factory,
    connection: sa.Connection,
    exported: Exported,
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    acquire(connection, group_id)
    with pytest.raises(LockTimeoutError) as timeout:
        enter(session_factory, PlanGroupLock(tenant_id, group_id, wait=timedelta(milliseconds=30)))
    assert timeout.value.waited_ms is not None
    seconds = timeout.value.waited_ms / 1000
    (span,) = exported.spans("acquire_group_lock")
    assert span.start_time is not None
    assert span.end_time is not None
    assert (span.end_time - span.start_time) / 1e9 == pytest.approx(seconds, abs=1e-6)
    (point,) = exported.points("studyplan.lock.wait")
    assert (point.count, point.sum) == (1, seconds)
    assert point.attributes["studyplan.outcome"] == "timeout"
    assert 0.03 <= point.sum < 20


def test_outcomes_are_counted_without_ids(
    session_factory: Factory,
    connection: sa.Connection,
    exported: Exported,
    tenant_id: UUID,
    group_id: UUID,
) -> None:
    for _ in range(3):
        enter(session_factory, PlanGroupLock(uuid4(), uuid4()))
    acquire(connection, group_id)
    with pytest.raises(PlanGroupLockedError):
        enter(session_factory, PlanGroupLock(tenant_id, group_id))
    counted = {
        point.attributes["studyplan.outcome"]: point
        for point in exported.points("studyplan.lock.requests")
    }
    assert {name: point.value for name, point in counted.items()} == {"acquired": 3, "busy": 1}
    assert dict(counted["busy"].attributes) == {
        "db.system.name": "postgresql",
        "db.operation.name": "acquire_group_lock",
        "studyplan.outcome": "busy",
        "studyplan.scope": "group",
        "error.type": "plan_group_locked",
    }


def test_generation_span_is_a_child_of_the_callers_span_and_its_rows_are_counted(
    session_factory: Factory, exported: Exported
) -> None:
    group = book_group(session_factory)
    with exported.tracers.get_tracer("caller").start_as_current_span("request") as request:
        result = generate(session_factory, group)
    (span,) = exported.spans("generate_plans")
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id
    assert span.attributes is not None
    assert span.attributes["studyplan.group_id"] == str(group.id)
    assert span.attributes["studyplan.rows"] == len(result.plans)
    assert len(exported.spans("acquire_student_lock")) == 1
    (rows,) = exported.points("studyplan.generation.rows")
    assert rows.value == len(result.plans)
    (duration,) = exported.points("studyplan.generation.duration")
    assert duration.count == 1
    assert 0 < duration.sum < 60


def test_refused_generation_has_the_code_of_the_error_as_error_type(
    session_factory: Factory, exported: Exported
) -> None:
    group = stored_group(session_factory, contents=[])
    with pytest.raises(NoContentsError):
        generate(session_factory, group)
    (span,) = exported.spans("generate_plans")
    assert span.attributes is not None
    assert span.attributes["error.type"] == "no_contents"


def test_refused_undo_is_not_reported_as_a_generation(
    session_factory: Factory, exported: Exported
) -> None:
    group = book_group(session_factory)
    lock = PlanGroupLock(group.tenant_id, group.id)
    with UnitOfWork(session_factory, lock=lock) as uow, pytest.raises(UndoNotPossibleError):
        UndoService(uow).undo()
    (span,) = exported.spans("undo_plans")
    assert span.attributes is not None
    assert span.attributes["studyplan.outcome"] == "refused"
    assert exported.spans("generate_plans") == []


def test_generation_span_ends_before_the_transaction_and_has_its_outcome(
    session_factory: Factory, exported: Exported
) -> None:
    group = book_group(session_factory)

    def roll_back(_: UnitOfWork) -> None:
        generated.append(time.time_ns())
        raise ZeroDivisionError

    generated: list[int] = []
    began = time.time_ns()
    with pytest.raises(ZeroDivisionError):
        request(session_factory, group, roll_back)
    (span,) = exported.spans("generate_plans")
    assert span.start_time is not None
    assert span.end_time is not None
    # The times of events are rounded to microseconds.
    assert began - 1000 <= span.start_time < span.end_time <= generated[0] + 1000
    assert span.attributes is not None
    assert span.attributes["studyplan.outcome"] == "rolled_back"
    assert span.attributes["error.type"] == "ZeroDivisionError"
    assert span.status.status_code is StatusCode.ERROR
    (rows,) = exported.points("studyplan.generation.rows")
    assert rows.attributes["studyplan.outcome"] == "rolled_back"


def test_instrument_called_twice_exports_once_and_uninstrument_stops_it(
    session_factory: Factory, exported: Exported, tenant_id: UUID, group_id: UUID
) -> None:
    instrument(exported.tracers, exported.meters)
    enter(session_factory, PlanGroupLock(tenant_id, group_id))
    assert len(exported.spans("acquire_group_lock")) == 1
    uninstrument()
    uninstrument()
    enter(session_factory, PlanGroupLock(tenant_id, group_id))
    assert len(exported.spans("acquire_group_lock")) == 1


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [("telemetry", "opentelemetry", "telemetry"), ("retrying", "tenacity", "retry")],
)
def test_missing_extra_is_reported_with_the_command_that_installs_it(
    module: str, missing: str, extra: str
) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; import domain.{module}"
    done = subprocess.run(  # noqa: S603 - the running interpreter
        [sys.executable, "-c", program], capture_output=True, check=False, text=True, timeout=60
    )
    message = f"{missing} is missing: pip install 'studyplan-domain[{extra}]'"
    assert done.stderr.splitlines()[-1] == f"ModuleNotFoundError: {message}"
