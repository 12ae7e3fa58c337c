"""The arguments and attributes of errors are typed, as mypy checks here."""

from pathlib import Path

import pytest
from mypy import api

from domain import errors

DEFINITIONS = sorted(map(str, Path(errors.__file__).parent.glob("*.py")))
TEMPLATE = """
from uuid import UUID

from domain.errors import DomainError, LockHolder, LockError, PlanGroupLockedError


def handler(error: DomainError, group_id: UUID) -> None:
    {line}
"""


def mypy_report(line: str, directory: Path) -> str:
    """Return mypy's report on a line that uses the errors."""
    user = directory / "user.py"
    user.write_text(TEMPLATE.format(line=line))
    # Skipping other imports saves time: the errors do not need the rest of the package.
    report, failure, _ = api.run(
        ["--strict", "--follow-imports=skip", f"--cache-dir={directory / 'cache'}",
         *DEFINITIONS, str(user)]
    )  # fmt: skip
    assert failure == ""
    return report


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("print(error.holderr)", '"DomainError" has no attribute "holderr"'),
        ("PlanGroupLockedError(group=group_id)", 'Unexpected keyword argument "group"'),
        ("PlanGroupLockedError()", 'Missing named argument "group_id"'),
        ("PlanGroupLockedError(group_id)", "Too many positional arguments"),
        ("PlanGroupLockedError(group_id=str(group_id))", 'has incompatible type "str"'),
        ("text: str = error.retry_after", '"int | None", variable has type "str"'),
        ("error.message(1)", 'incompatible type "int"; expected "str"'),
    ],
)
def test_mypy_rejects_undeclared_attributes_and_wrong_arguments(
    line: str, refusal: str, tmp_path: Path
) -> None:
    report = mypy_report(line, tmp_path)
    assert refusal in report
    assert "domain/errors/" not in report


def test_mypy_accepts_declared_attributes_and_arguments(tmp_path: Path) -> None:
    lines = (
        "refused: LockError = PlanGroupLockedError(group_id=group_id, scope='student')",
        "holder: LockHolder | None = refused.holder",
        "seconds: int | None = error.retry_after",
        "print(holder, seconds, error.data, error.to_problem('ko')['code'])",
    )
    assert "Success" in mypy_report("\n    ".join(lines), tmp_path)
