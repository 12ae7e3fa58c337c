"""Plan group documents: what a tutor, a form or an import writes, read strictly.

A document is a JSON object, or the mapping that one becomes in Python, with the fields of
the README's table. ``PlanGroupService.create`` stores it. ``PlanGroupDocument`` needs no
library, and is a type that pydantic and FastAPI understand.
"""

from domain.documents.document import DocumentModel, PlanGroupDocument, read_json
from domain.documents.rows import GroupRows, faults_of, to_request, to_rows

__all__ = [
    "DocumentModel",
    "GroupRows",
    "PlanGroupDocument",
    "faults_of",
    "read_json",
    "to_request",
    "to_rows",
]
