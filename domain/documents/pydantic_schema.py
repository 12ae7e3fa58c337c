"""``PlanGroupDocument`` for pydantic: the package's own reading behind pydantic's errors."""

import re
from typing import Any, Final

from pydantic import RootModel
from pydantic_core import (
    CoreSchema,
    InitErrorDetails,
    PydanticCustomError,
    ValidationError,
    core_schema,
)

from domain.documents.document import PlanGroupDocument
from domain.documents.readers import DOCUMENT
from domain.errors import InvalidInputError

# An index in brackets, or a key up to the next dot or index; an unknown key may have brackets.
_STEPS: Final = re.compile(r"\[([0-9]+)\]|(?:^|\.)((?:(?!\[[0-9]+\]|\.).)*)")


def core_schema_of(kind: type[PlanGroupDocument]) -> CoreSchema:
    """Reads instances as they are, and everything else by ``from_mapping``."""

    def read(value: Any) -> PlanGroupDocument:
        if isinstance(value, kind):
            return value
        try:
            return kind.read(value, [])
        except InvalidInputError as refused:
            raise ValidationError.from_exception_data(
                kind.__name__,
                [_line(field_error.field, field_error.message) for field_error in refused.errors],
            ) from None

    return core_schema.no_info_plain_validator_function(read)


def _line(field: str, message: str) -> InitErrorDetails:
    # Braces would be read as placeholders.
    sentence = PydanticCustomError("invalid_input", "{sentence}", {"sentence": message})
    return {"type": sentence, "loc": _location(field), "input": None}


def _location(field: str) -> tuple[int | str, ...]:
    """``contents[0].range`` as ``("contents", 0, "range")``."""
    if field == DOCUMENT:
        return ()
    return tuple(int(index) if index else key for index, key in _STEPS.findall(field))


# Last, because pydantic asks the module for the schema while it makes the class.
class PlanGroupModel(RootModel[PlanGroupDocument]):
    """A document as a pydantic model: ``root`` is the ``PlanGroupDocument``."""
