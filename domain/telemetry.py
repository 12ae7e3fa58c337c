"""OpenTelemetry spans and metrics for locks and generations.

This is the only module that needs opentelemetry: ``pip install 'studyplan-domain[telemetry]'``.

========================================  ==========  =====================================
instrument                                unit        attributes
========================================  ==========  =====================================
``studyplan.lock.wait``, histogram        s           outcome, scope, error.type
``studyplan.lock.requests``, counter      {request}   outcome, scope, error.type
``studyplan.generation.duration``,        s           outcome, error.type
histogram
``studyplan.generation.rows``, counter    {row}       outcome, error.type
========================================  ==========  =====================================

The full names of ``outcome`` and ``scope`` are ``studyplan.outcome`` and ``studyplan.scope``;
``error.type`` is only set if there was an error. All
spans and metrics also have the attributes ``db.system.name`` and ``db.operation.name``; only spans
have ids as attributes. A generation is reported when its unit of work has ended, so ``outcome``
says whether it was committed; its span covers only the call of the service. The span of a lock
request ends when the request is reported. The parent of a span is the span that is current when
the event is reported.

``studyplan.generation.rows`` counts the plans of the schedules, which are not all written: a run
keeps those that do not change, and with the outcomes ``repeated``, ``rolled_back`` and ``unknown``
none is written, or none for certain.
"""

import threading
import time
from typing import Any, Final

from domain.events import Event, GenerationEvent, LockEvent, subscribe

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "opentelemetry is missing: pip install 'studyplan-domain[telemetry]'", name="opentelemetry"
    ) from missing

_NAME: Final = "studyplan"
# Histogram boundaries in seconds. Most locks are free, so most waits are in the first bucket, and
# a wait lasts at most minutes.
_BOUNDS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 600.0)
_installing = threading.Lock()
_installed: list[Any] = []


def instrument(
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
) -> None:
    """Report each event from now on, to the given providers or else to the global ones.

    A second call has no effect. To change the providers, call ``uninstrument`` first.
    """
    with _installing:
        if not _installed:
            _installed.append(subscribe(_Reporter(tracer_provider, meter_provider)))


def uninstrument() -> None:
    """Stop reporting events."""
    with _installing:
        while _installed:
            _installed.pop()()


class _Reporter:
    """A listener that creates its instruments once and reports each event with them."""

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None,
        meter_provider: metrics.MeterProvider | None,
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._wait = meter.create_histogram(
            "studyplan.lock.wait",
            "s",
            "Time spent waiting for a lock",
            explicit_bucket_boundaries_advisory=_BOUNDS,
        )
        self._requests = meter.create_counter(
            "studyplan.lock.requests", "{request}", "Lock requests, by outcome"
        )
        self._duration = meter.create_histogram(
            "studyplan.generation.duration",
            "s",
            "Duration of a generation, without the commit",
            explicit_bucket_boundaries_advisory=_BOUNDS,
        )
        self._rows = meter.create_counter(
            "studyplan.generation.rows", "{row}", "Plans of generations, by outcome"
        )

    def __call__(self, event: Event) -> None:
        if isinstance(event, LockEvent):
            self._lock(event)
        else:
            self._generation(event)

    def _lock(self, event: LockEvent) -> None:
        common = {**_common(event, f"acquire_{event.scope}_lock"), "studyplan.scope": event.scope}
        self._wait.record(event.waited_ms / 1000, common)
        self._requests.add(1, common)
        own = {
            "studyplan.group_id": _text(event.group_id),
            "studyplan.student_id": _text(event.student_id),
            "studyplan.holder.pid": event.holder and event.holder.pid,
        }
        self._span(common, own, time.time_ns(), event.waited_ms / 1000)

    def _generation(self, event: GenerationEvent) -> None:
        common = _common(event, f"{event.operation}_plans")
        self._duration.record(event.seconds, common)
        self._rows.add(event.rows, common)
        own = {
            "studyplan.group_id": _text(event.group_id),
            "studyplan.generation": event.generation,
            "studyplan.rows": event.rows,
            "studyplan.unplaced": event.unplaced,
        }
        self._span(common, own, int(event.ended_at.timestamp() * 1e9), event.seconds)

    def _span(
        self, common: dict[str, Any], own: dict[str, Any], ended: int, seconds: float
    ) -> None:
        span = self._tracer.start_span(
            common["db.operation.name"],
            kind=trace.SpanKind.CLIENT,
            attributes={**common, **{k: v for k, v in own.items() if v is not None}},
            start_time=ended - int(seconds * 1e9),
        )
        if "error.type" in common:
            span.set_status(trace.Status(trace.StatusCode.ERROR))
        span.end(ended)


def _common(event: Event, operation: str) -> dict[str, Any]:
    """Return the attributes of both spans and metrics, all of low cardinality."""
    common = {
        "db.system.name": "postgresql",
        "db.operation.name": operation,
        "studyplan.outcome": event.outcome,
    }
    return common if event.error_type is None else {**common, "error.type": event.error_type}


def _text(value: object) -> str | None:
    return None if value is None else str(value)
