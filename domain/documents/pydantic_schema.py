"""``PlanGroupDocument`` for pydantic: the package reads it, and pydantic reports the errors."""

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

# An index in brackets, or a key up to the next dot or index. An unknown key may contain brackets.
_STEPS: Final = re.compile(r"\[([0-9]+)\]|(?:^|\.)((?:(?!\[[0-9]+\]|\.).)*)")


def core_schema_of(kind: type[PlanGroupDocument]) -> CoreSchema:
    """Return a schema that accepts instances as they are and reads everything else as a mapping.

    Instances are written as a document, which can be read again.
    """

    def read(value: Any) -> PlanGroupDocument:
        if isinstance(value, kind):
            return value
        try:
            return kind.read(value, [])
        except InvalidInputError as invalid:
            raise ValidationError.from_exception_data(
                kind.__name__,
                [_line(field_error.field, field_error.message) for field_error in invalid.errors],
            ) from None

    def write(value: Any) -> Any:
        # A model that was constructed without validation may have any value.
        return value.to_mapping() if isinstance(value, kind) else value

    return core_schema.no_info_plain_validator_function(
        read, serialization=core_schema.plain_serializer_function_ser_schema(write)
    )


def _line(field: str, message: str) -> InitErrorDetails:
    # The message is passed as data, because braces in a template are placeholders.
    error = PydanticCustomError("invalid_input", "{sentence}", {"sentence": message})
    return {"type": error, "loc": _location(field), "input": None}


def _location(field: str) -> tuple[int | str, ...]:
    """Return ``contents[0].range`` as ``("contents", 0, "range")``."""
    if field == DOCUMENT:
        return ()
    return tuple(int(index) if index else key for index, key in _STEPS.findall(field))


# At the end of the module, because pydantic calls the functions above when it creates the class.
class PlanGroupModel(RootModel[PlanGroupDocument]):
    """A pydantic model of a document: ``root`` is the ``PlanGroupDocument``."""
