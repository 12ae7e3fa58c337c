"""The two families of errors, and how a refusal carries its data and speaks."""

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, ClassVar, Literal
from uuid import UUID


class DomainError(Exception):
    """A refusal with its data as attributes; the sentences are built from them.

    Every keyword given to the constructor is an attribute, a field of ``to_problem()``
    unless it is ``internal``, and a name that the sentences ``ko`` and ``en`` may use.
    """

    code: ClassVar[str]
    http_status: ClassVar[int]
    retryable: ClassVar[bool] = False
    ko: ClassVar[str]
    en: ClassVar[str]
    internal: ClassVar[frozenset[str]] = frozenset()
    """Attributes for the log and the application, which no client is shown."""

    def __init__(self, **data: Any) -> None:
        self.data: Mapping[str, Any] = MappingProxyType(data)
        super().__init__(self.message("en"))

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(name) from None

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuilt, (type(self), dict(self.data))

    def message(self, language: Literal["ko", "en"] = "ko") -> str:
        """The sentence for the user, in Korean unless asked otherwise."""
        return (self.ko if language == "ko" else self.en).format(**self.data)

    def to_problem(self, language: Literal["ko", "en"] = "ko") -> dict[str, Any]:
        """The fields of an RFC 9457 problem document, ready for ``json.dumps``."""
        return {
            "type": f"urn:studyplan:problem:{self.code}",
            "title": self.code.replace("_", " "),
            "status": self.http_status,
            "detail": self.message(language),
            "code": self.code,
            "retryable": self.retryable,
            **{
                name: _plain(value)
                for name, value in self.data.items()
                if name not in self.internal
            },
        }


class MisuseError(RuntimeError):
    """The calling code broke a rule of the package; the text says which, and the way out."""


def _rebuilt(kind: type[DomainError], data: dict[str, Any]) -> DomainError:
    return kind(**data)


def _plain(value: Any) -> Any:
    match value:
        case UUID():
            return str(value)
        case date():
            return value.isoformat()
        case tuple() | list():
            return [_plain(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return {name: _plain(item) for name, item in asdict(value).items()}
        case _:
            return value
