"""Plan group documents, as written by a tutor, a form or an import, with strict validation.

A document is a JSON object, or the equivalent mapping in Python, with the fields that are
documented in ``domain/cli/README.md``. ``PlanGroupService.create`` stores it.
``PlanGroupDocument`` needs no library, and pydantic and FastAPI can use it as a type.
"""

from domain.documents.document import PlanGroupDocument, read_json

__all__ = ["PlanGroupDocument", "read_json"]
