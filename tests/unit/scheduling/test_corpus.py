"""The schedules of usual groups break no rule."""

from itertools import islice

import pytest

from domain.scheduling.types import Request
from tests.unit.scheduling.corpus import corpus
from tests.unit.scheduling.test_properties import violations

GROUPS = list(corpus(60, seed=1))


@pytest.mark.parametrize("request_", GROUPS, ids=range(len(GROUPS)))
def test_schedule_of_a_usual_group_breaks_no_rule(request_: Request) -> None:
    assert violations(request_) == []


def test_corpus_is_the_same_for_the_same_seed() -> None:
    assert list(corpus(5, seed=1)) == GROUPS[:5]
    assert list(islice(corpus(100, seed=1), 2)) == GROUPS[:2]
    assert next(corpus(1, seed=2)) != GROUPS[0]


def test_corpus_has_groups_of_all_kinds() -> None:
    contents = [content for group in GROUPS for content in group.contents]
    assert {group.study_days for group in GROUPS} >= {2, 3, 4, 5, 6, 9, 13}
    assert {group.review_days for group in GROUPS} >= {0, 1, 2, 3}
    assert any(group.busy for group in GROUPS)
    assert {group.balance.value for group in GROUPS} == {"room", "minutes"}
    assert {len(group.contents) for group in GROUPS} >= {1, 2, 3, 4, 5, 6, 9}
    assert any(group.special_days for group in GROUPS)
    assert any(group.target_date for group in GROUPS)
    assert any(content.deadline for content in contents)
    assert {content.type.value for content in contents} == {"book", "lecture", "custom"}
