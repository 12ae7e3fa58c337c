"""An id that is not a UUID is refused by the name of its argument, in every service."""

import inspect
from typing import Any
from uuid import UUID

import pytest

from domain import GroupStatus, PlanGenerationService, PlanGroupService, PlanState, UnitOfWork
from domain.errors import FieldError, InvalidInputError
from domain.services import (
    GroupEditService,
    GroupStateService,
    GroupTimeService,
    Mark,
    PlanProgressService,
    ReschedulingService,
    StudentTimeService,
    UndoService,
)
from tests.integration.editing import Factory, World
from tests.integration.storing import FIRST

IDS = [
    pytest.param(service, name, parameter, id=f"{service.__name__}.{name} {parameter}")
    for service in (
        GroupEditService,
        GroupStateService,
        GroupTimeService,
        PlanGroupService,
        PlanProgressService,
        ReschedulingService,
        StudentTimeService,
        UndoService,
        PlanGenerationService,
    )
    for name, method in inspect.getmembers(service, inspect.isfunction)
    if not name.startswith("_")
    for parameter in inspect.signature(method).parameters
    if parameter.endswith("_id")
]
OTHERS: dict[str, Any] = {
    "date": FIRST,
    "fields": {"name": "봄", "period": {"start": FIRST, "end": FIRST}},
    "expected_version": 1,
    "marks": [Mark(plan_id=UUID(int=1), expected_version=1, state=PlanState.DONE)],
    "order": [],
    "start_minute": 600,
    "state": PlanState.DONE,
    "to": GroupStatus.CANCELLED,
    "today": FIRST,
    **dict.fromkeys(
        (
            "block_id",
            "class_id",
            "content_id",
            "exclusion_id",
            "plan_id",
            "special_day_id",
            "student_id",
        ),
        UUID(int=1),
    ),
}


@pytest.mark.parametrize(("service", "name", "parameter"), IDS)
def test_id_of_a_wrong_type_is_refused_by_name_and_not_as_a_missing_row(
    session_factory: Factory, world: World, service: Any, name: str, parameter: str
) -> None:
    parameters = inspect.signature(getattr(service, name)).parameters
    required = [key for key, given in parameters.items() if given.default is given.empty]
    given = {key: OTHERS[key] for key in required if key in OTHERS}
    lock = world.student_lock if service is StudentTimeService else world.lock
    for wrong in (str(world.group.id), world.group.id.int, b"a", True, [], object()):
        with UnitOfWork(session_factory, lock=lock) as uow:
            with pytest.raises(InvalidInputError) as refused:
                getattr(service(uow), name)(**{**given, parameter: wrong})
            uow.rollback()
        assert refused.value.errors == (FieldError(parameter, "must be a UUID"),)
