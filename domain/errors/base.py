"""The base class of domain errors: a code, a status, two messages and a problem document."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal, TypeAlias
from uuid import UUID

Language: TypeAlias = Literal["ko", "en"]

RETRY_AFTER: Final = 1
"""The seconds until a client may retry if a lock is held or the database is busy.

The value is a constant. A lock is usually held for milliseconds, and the age of its holder's
transaction does not predict how much longer the lock is held, because the age includes the time
for which the holder itself waited. ``domain.retrying`` adds increasing pauses.
"""

PROBLEM_MEMBER: Final = "problem member"
"""The metadata key for a field's name in the problem document; ``None`` omits the field."""


# The dataclass is not frozen because contextlib assigns ``__traceback__``. ``eq=False`` keeps the
# comparison by identity, which is usual for exceptions.
@dataclass(eq=False, repr=False, kw_only=True)
class DomainError(Exception):
    """A refused request, with its data as fields, from which its two messages are formatted.

    The constructor accepts the fields as keyword arguments. ``str()`` returns the English message.
    An error can be pickled and copied, including its notes.
    """

    code: ClassVar[str]
    http_status: ClassVar[int]
    retryable: ClassVar[bool] = False
    """Whether the same request may succeed if it is repeated."""
    ko: ClassVar[str]
    en: ClassVar[str]

    retry_after: int | None = dataclasses.field(default=None, init=False)
    """The value of the ``Retry-After`` header in seconds, or ``None`` for no such header."""

    def __post_init__(self) -> None:
        super().__init__(self.message("en"))

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is rebuilt by calling its class with ``args``, which is only the
        # message; the constructors here require the fields instead.
        return _new_without_init, (type(self), self.args), vars(self)

    @property
    def data(self) -> Mapping[str, Any]:
        """The fields that were passed to the constructor, by name; read-only."""
        names = (item.name for item in _data_fields(self))
        return MappingProxyType({name: getattr(self, name) for name in names})

    def message(self, language: str = "ko") -> str:
        """Return the message for the user: Korean for ``ko``, English for any other language.

        An application may pass the language that a client asks for as it is.
        """
        korean, english = self._texts()
        return (korean if language == "ko" else english).format(**self.data)

    def to_problem(self, language: str = "ko") -> dict[str, Any]:
        """Return the members of an RFC 9457 problem document, ready for ``json.dumps``.

        The members include the data, except for fields that are only meant for the application,
        such as the ``holder`` of a lock.
        """
        members = {
            item.metadata.get(PROBLEM_MEMBER, item.name): item.name for item in _data_fields(self)
        }
        return {
            "type": f"urn:studyplan:problem:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.http_status,
            "detail": self.message(language),
            "code": self.code,
            "retryable": self.retryable,
            **{member: _to_json(getattr(self, name)) for member, name in members.items() if member},
        }

    def _texts(self) -> tuple[str, str]:
        """Return the Korean and the English message, whose placeholders are names of fields.

        Classes override this method, and not ``message``, if their texts depend on the fields.
        """
        return self.ko, self.en


def _data_fields(error: DomainError) -> list[dataclasses.Field[Any]]:
    return [item for item in dataclasses.fields(error) if item.init]


def _new_without_init(kind: type[DomainError], args: tuple[Any, ...]) -> DomainError:
    return kind.__new__(kind, *args)


def _to_json(value: Any) -> Any:
    match value:
        case UUID():
            return str(value)
        case date():
            return value.isoformat()
        case tuple() | list():
            return list(map(_to_json, value))
        case _ if is_dataclass(value) and not isinstance(value, type):
            items = dataclasses.fields(value)
            return {item.name: _to_json(getattr(value, item.name)) for item in items}
        case _:
            return value
