"""With TEST_ROLE set, the engine under test connects as a role that owns nothing."""

import importlib.util

import pytest
import sqlalchemy as sa

from domain.probe import probe
from tests.servers import OWNERS

OWNED = sa.text(
    "SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR EXISTS ("
    "SELECT FROM pg_class WHERE relowner = r.oid AND relnamespace = 'studyplan'::regnamespace) "
    "FROM pg_roles r WHERE rolname = current_user"
)


def test_application_owns_nothing_if_it_has_a_separate_role(
    engine: sa.Engine, owner_engine: sa.Engine, app_role: tuple[str, str] | None
) -> None:
    with engine.connect() as application, owner_engine.connect() as owner:
        assert application.scalar(OWNED) is (app_role is None)
        assert owner.scalar(OWNED)


def test_role_has_the_privileges_that_the_probe_requires(engine: sa.Engine) -> None:
    probe(engine)


@pytest.mark.parametrize("module", OWNERS)
def test_module_that_needs_the_owner_exists(module: str) -> None:
    assert importlib.util.find_spec(module) is not None
