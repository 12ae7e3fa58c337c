"""Which tests run as the owner of the schema even where the application has a role of its own."""

from collections.abc import Mapping
from typing import Final

OWNERS: Final[Mapping[str, str]] = {
    "tests.integration.test_constraints": "drops one constraint to see that another one holds",
    "tests.integration.test_constraints_allow": "deletes rows that no operation deletes",
    "tests.integration.test_row_level_security": "has roles of its own beside an unrestricted one",
}
"""Modules, and what they do that ``schema.upgrade(…, grant_to=…)`` does not grant.

Other tests have ``owner_engine`` for what only the owner may do.
"""
