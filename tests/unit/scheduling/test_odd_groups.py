"""Groups with extreme numbers break no rule, whatever the strategy."""

import pytest

from domain.errors import DomainError
from domain.scheduling.schedule import schedule
from domain.scheduling.types import Request, Strategy
from tests.unit.scheduling.checker import check_refusal, check_rules
from tests.unit.scheduling.odd_groups import odd_group

AT_ONCE = 25


def violations(request: Request) -> list[str]:
    try:
        return check_rules(request, schedule(request))
    except DomainError as error:
        return check_refusal(request, error)


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("first", range(0, 400, AT_ONCE))
def test_odd_groups_break_no_rule(strategy: Strategy, first: int) -> None:
    found = {
        number: violations(odd_group(1, number, strategy))
        for number in range(first, first + AT_ONCE)
    }
    assert {number: broken for number, broken in found.items() if broken} == {}


@pytest.mark.parametrize("number", [1005, 1557, 1820, 2984])
def test_weakness_without_any_room_is_reported(number: int) -> None:
    """Its units are longer than all time that the other contents of its group leave."""
    result = schedule(odd_group(1, number, Strategy.BALANCED))
    assert result.unplaced
