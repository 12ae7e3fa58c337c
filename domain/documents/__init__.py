"""Plan group documents: what a tutor, a form or an import writes, read strictly.

A document is a JSON object, or the mapping that one becomes in Python, with the fields of
the README's table. ``PlanGroupService.create`` stores it. ``PlanGroupDocument`` needs no
library, and is a type that pydantic and FastAPI understand.
"""

from domain.documents.document import PlanGroupDocument, read_json

__all__ = ["PlanGroupDocument", "read_json"]
