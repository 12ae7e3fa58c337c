"""Input at fault, field by field."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from domain.errors.base import DomainError


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one field, such as ``contents[0].range``."""

    field: str
    message: str


class ValidationError(DomainError):
    """The input was refused whole; nothing was written."""

    http_status = 422


class IdempotencyMismatchError(ValidationError):
    """The idempotency key was used before, for another group or another input."""

    code = "idempotency_mismatch"
    ko = "같은 요청 키가 다른 내용으로 사용되었습니다."
    en = "The same request key was used for different input."

    def __init__(self, *, idempotency_key: str) -> None:
        super().__init__(idempotency_key=idempotency_key)


class InvalidInputError(ValidationError):
    """One entry of ``faults`` for every field that is wrong."""

    code = "invalid_input"
    ko = "입력값이 올바르지 않습니다: {field}"
    en = "Invalid input: {field}"

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        fields = dict.fromkeys(fault.field for fault in self.faults)
        super().__init__(field=", ".join(fields), errors=self.faults)

    @classmethod
    def of(cls, field: str, message: str) -> Self:
        """The error for a single field."""
        return cls([Fault(field, message)])

    @classmethod
    def unless_uuids(cls, **ids: object) -> None:
        """Raise for every id that is none; callers without a type checker pass what a URL has."""
        wrong = [name for name, id_ in ids.items() if not isinstance(id_, UUID)]
        if wrong:
            raise cls(Fault(name, "must be a UUID") for name in wrong)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults,)

    def __str__(self) -> str:
        return "; ".join(f"{fault.field}: {fault.message}" for fault in self.faults)
