"""The result of any request is a schedule without violations or a documented, justified error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import DomainError
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Request
from tests.unit.scheduling.build import worked_example
from tests.unit.scheduling.checker import check_refusal, check_rules
from tests.unit.scheduling.kept_strategies import kept_requests
from tests.unit.scheduling.strategies import any_requests, loose_requests, shuffled, tight_requests

ROOT = Path(__file__).parents[3]
many_examples = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def violations(request: Request) -> list[str]:
    """Return what is wrong with the result, which is a schedule or an error."""
    try:
        result = schedule(request)
    except DomainError as error:
        return check_refusal(request, error)
    return check_rules(request, result)


def result_text(request: Request) -> str:
    """Return the result as one string."""
    try:
        return schedule(request).canonical_json()
    except DomainError as error:
        return f"{error.to_problem('en')}"


@many_examples
@given(loose_requests())
def test_schedule_of_a_loose_request_breaks_no_rule(request: Request) -> None:
    assert violations(request) == []


@many_examples
@given(tight_requests())
def test_schedule_of_a_tight_request_breaks_no_rule(request: Request) -> None:
    assert violations(request) == []


@many_examples
@given(kept_requests())
def test_schedule_of_a_started_period_breaks_no_rule(request: Request) -> None:
    assert violations(request) == []


@many_examples
@given(any_requests())
def test_schedule_of_any_request_breaks_no_rule(request: Request) -> None:
    assert violations(request) == []


@settings(many_examples, max_examples=60)
@given(st.one_of(any_requests(), tight_requests(), kept_requests()), st.data())
def test_schedule_does_not_depend_on_the_order_of_the_request_rows(
    request: Request, data: st.DataObject
) -> None:
    assert result_text(data.draw(shuffled(request))) == result_text(request)


@settings(many_examples, max_examples=30)
@given(st.one_of(any_requests(), tight_requests()))
def test_schedule_of_the_same_request_is_always_the_same(request: Request) -> None:
    assert result_text(request) == result_text(request)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Seoul", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "4242", "TZ": "America/Los_Angeles", "LC_ALL": "tr_TR.UTF-8"},
    ],
    ids=["seoul", "los-angeles"],
)
def test_schedule_does_not_depend_on_hash_seed_time_zone_or_locale(
    environment: dict[str, str],
) -> None:
    program = (
        "import sys; from domain.scheduling.schedule import schedule;"
        "from tests.unit.scheduling.build import worked_example;"
        "sys.stdout.buffer.write(schedule(worked_example()).canonical_json().encode())"
    )
    completed = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert completed.stdout.decode() == schedule(worked_example()).canonical_json()
