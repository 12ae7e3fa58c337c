"""For any request: a schedule without a violation, or a documented error with a cause."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import DomainError
from domain.scheduling.engine import schedule
from domain.scheduling.planning import Request
from tests.unit.scheduling.build import worked_example
from tests.unit.scheduling.checker import check, check_refusal
from tests.unit.scheduling.strategies import (
    any_requests,
    kept_requests,
    loose_requests,
    shuffled,
    tight_requests,
)

ROOT = Path(__file__).parents[3]
often = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def violations(request: Request) -> list[str]:
    """What is wrong with the answer, be it a schedule or an error."""
    try:
        answer = schedule(request)
    except DomainError as error:
        return check_refusal(request, error)
    return check(request, answer)


def answer_text(request: Request) -> str:
    """The answer as one string."""
    try:
        return schedule(request).canonical_json()
    except DomainError as error:
        return f"{error.to_problem('en')}"


@often
@given(loose_requests())
def test_a_loose_world_breaks_no_rule(request: Request) -> None:
    assert violations(request) == []


@often
@given(tight_requests())
def test_a_tight_world_breaks_no_rule(request: Request) -> None:
    assert violations(request) == []


@often
@given(kept_requests())
def test_a_world_begun_before_breaks_no_rule(request: Request) -> None:
    assert violations(request) == []


@often
@given(any_requests())
def test_any_world_breaks_no_rule(request: Request) -> None:
    assert violations(request) == []


@settings(often, max_examples=60)
@given(st.one_of(any_requests(), tight_requests(), kept_requests()), st.data())
def test_the_order_in_which_rows_arrive_changes_nothing(
    request: Request, data: st.DataObject
) -> None:
    assert answer_text(data.draw(shuffled(request))) == answer_text(request)


@settings(often, max_examples=30)
@given(st.one_of(any_requests(), tight_requests()))
def test_the_same_request_twice_gives_the_same_schedule(request: Request) -> None:
    assert answer_text(request) == answer_text(request)


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "1", "TZ": "Asia/Seoul", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "4242", "TZ": "America/Los_Angeles", "LC_ALL": "tr_TR.UTF-8"},
    ],
    ids=["seoul", "los-angeles"],
)
def test_hash_seed_zone_and_locale_change_nothing(environment: dict[str, str]) -> None:
    program = (
        "import sys; from domain.scheduling.engine import schedule;"
        "from tests.unit.scheduling.build import worked_example;"
        "sys.stdout.buffer.write(schedule(worked_example()).canonical_json().encode())"
    )
    # The command is this interpreter and the text above.
    told = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    assert told.stdout.decode() == schedule(worked_example()).canonical_json()
