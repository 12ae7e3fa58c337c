"""The planning core's inputs are made of rows by name, and none of their fields is left out."""

from dataclasses import dataclass, fields

import pytest

from domain import database_errors
from domain.models import Base, Block, BlockKind, PlanGroup
from domain.models.base import to_input
from domain.models.plan_group import COMPUTED_INPUTS
from domain.repositories.snapshot import _Rows
from domain.scheduling import planning


@dataclass(frozen=True)
class LongerBlock(planning.Block):
    """An input with a field, with a default, that no row has."""

    room: str = "library"


def test_field_that_no_row_has_is_an_error_and_not_left_out() -> None:
    block = Block(kind=BlockKind.STUDY, weekday=1, start_minute=600, end_minute=720)
    assert to_input(block, planning.Block) == planning.Block(BlockKind.STUDY, 1, 600, 720)
    with pytest.raises(AttributeError, match="room"):
        to_input(block, LongerBlock)
    with pytest.raises(AttributeError, match="room"):
        _Rows(LongerBlock, Block).select()


def test_fields_of_a_request_are_columns_of_the_group_or_computed() -> None:
    names = {field.name for field in fields(planning.Request)}
    assert names >= COMPUTED_INPUTS
    assert names - COMPUTED_INPUTS <= set(PlanGroup.__table__.columns.keys())


def test_constraints_that_are_translated_are_in_the_tables() -> None:
    tables = Base.metadata.tables.values()
    known = {str(one.name) for table in tables for one in table.constraints}
    known |= {str(one.name) for table in tables for one in table.indexes}
    assert known >= database_errors._CONSTRAINTS.keys()
