"""Sessions with several engines are refused on entry, or when a second connection is used."""

from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import Base, PlanGroup, PlanGroupLock, StudentPlan, UnitOfWork
from domain.errors import WrongSessionError
from domain.testing import assert_lock_free
from tests.integration.storing import enter, generate, stored_group

Factory = sessionmaker[Session]


def test_session_bound_to_several_engines_is_refused_on_entry(
    engine: sa.Engine, second: sa.Engine, lock: PlanGroupLock
) -> None:
    keys: list[Any] = [Base, StudentPlan, StudentPlan.__table__]
    for key in keys:
        with pytest.raises(WrongSessionError, match="several engines"):
            enter(sessionmaker(bind=engine, binds={key: second}), lock)
    assert_lock_free(engine, lock.group_id)


class RoutingSession(Session):
    """Reads from one engine and writes to the other, as in SQLAlchemy's documentation."""

    leader: sa.Engine
    follower: sa.Engine

    def get_bind(self, mapper: Any = None, clause: Any = None, **_: Any) -> sa.Engine:
        if self._flushing or isinstance(clause, sa.Update | sa.Insert | sa.Delete):
            return self.leader
        return self.follower


class TextRoutingSession(Session):
    """Sends textual SQL to another engine than all other statements."""

    leader: sa.Engine
    follower: sa.Engine

    def get_bind(self, mapper: Any = None, clause: Any = None, **_: Any) -> sa.Engine:
        return self.follower if isinstance(clause, sa.TextClause) else self.leader


def test_session_that_routes_writes_to_another_engine_is_refused_on_entry(
    engine: sa.Engine, second: sa.Engine, lock: PlanGroupLock
) -> None:
    RoutingSession.leader, RoutingSession.follower = engine, second
    with pytest.raises(WrongSessionError, match="several engines"):
        enter(sessionmaker(class_=RoutingSession), lock)


def test_second_connection_is_refused_when_it_is_first_used(
    engine: sa.Engine, second: sa.Engine, session_factory: Factory
) -> None:
    TextRoutingSession.leader, TextRoutingSession.follower = engine, second
    group = stored_group(session_factory, name="before")

    def write_with_text() -> None:
        with UnitOfWork(
            sessionmaker(class_=TextRoutingSession), lock=PlanGroupLock(group.tenant_id, group.id)
        ) as uow:
            uow.groups.get(group.id)
            uow.session.execute(sa.text("UPDATE studyplan.plan_groups SET name = 'after'"))

    with pytest.raises(WrongSessionError, match="second connection"):
        write_with_text()
    with session_factory() as session:
        assert session.get_one(PlanGroup, (group.tenant_id, group.id)).name == "before"
    assert_lock_free(engine, group.id)


def test_second_connection_by_bind_arguments_is_refused(
    second: sa.Engine, session_factory: Factory, lock: PlanGroupLock
) -> None:
    with UnitOfWork(session_factory, lock=lock) as uow:
        with pytest.raises(WrongSessionError, match="second connection"):
            uow.session.execute(sa.text("SELECT 1"), bind_arguments={"bind": second})
        uow.rollback()


def test_sessions_without_a_unit_of_work_may_have_several_engines(
    engine: sa.Engine, second: sa.Engine
) -> None:
    with Session(engine) as session:
        session.scalar(sa.text("SELECT 1"))
        assert session.scalar(sa.text("SELECT 1"), bind_arguments={"bind": second}) == 1


@pytest.mark.parametrize("of", ["engine", "session"])
def test_schema_translate_map_of_the_packages_schema_is_refused(
    engine: sa.Engine, session_factory: Factory, of: str
) -> None:
    """It would apply to the mapped classes, but not to the lock functions and to COPY."""
    group = stored_group(session_factory)
    lock = PlanGroupLock(group.tenant_id, group.id)

    def factory(names: dict[str | None, str]) -> Factory:
        options: Any = {"schema_translate_map": names}
        if of == "session":
            return sessionmaker(engine, execution_options=options)
        return sessionmaker(engine.execution_options(**options))

    with pytest.raises(WrongSessionError, match="schema_translate_map"):
        enter(factory({"studyplan": "tenant_a"}), lock)
    assert_lock_free(engine, group.id)
    harmless: list[dict[str | None, str]] = [{None: "tenant_a"}, {"studyplan": "studyplan"}]
    for names in harmless:
        assert generate(factory(names), group).group_id == group.id
