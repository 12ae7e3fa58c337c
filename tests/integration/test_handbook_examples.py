"""The examples of the documents run as printed, on a real server."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from domain import GroupStatus, PlanGroup, PlanGroupLock, UnitOfWork, schema
from domain.documents import read_json
from domain.errors import PlanGroupNotFoundError
from domain.events import LockEvent, emit
from domain.repositories import PlanGroupRepository
from tests.concurrency.overlapping import in_another_thread
from tests.handbook import code, example, rows
from tests.integration.storing import generate, live, stored_group

BUSY = "플랜 생성이 이미 진행 중입니다. 잠시 후 다시 시도해주세요."
CLI = "domain/cli/README.md"
Factory = sessionmaker[Session]


def run(text: str, **names: Any) -> dict[str, Any]:
    """Execute an example where ``names`` are defined; return all names afterwards."""
    exec(compile(text, "example", "exec"), names)  # noqa: S102 - the project's own documents
    return names


def printed(command: list[str], cwd: Path, **variables: str) -> str:
    """Return the output of a command that must succeed without a warning."""
    done = subprocess.run(  # noqa: S603 - only commands from the documents
        command,
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    return stored_group(session_factory, status=GroupStatus.ACTIVE)


@pytest.fixture
def ids(group: PlanGroup) -> dict[str, UUID]:
    """The names that the examples use for ids."""
    return {"tenant_id": group.tenant_id, "group_id": group.id, "student_id": group.student_id}


def test_first_plan_prints_what_the_front_page_shows(tmp_path: Path) -> None:
    (tmp_path / "first_plan.py").write_text(example("first plan"), "utf-8")
    shown = printed([sys.executable, "-W", "error", "first_plan.py"], tmp_path)
    assert shown == example("first plan prints")


# --- the application guide ----------------------------------------------------------------


def test_request_of_the_guide_answers_200_and_409(session_factory: Factory) -> None:
    today = date.today()  # noqa: DTZ011 - the example plans from today on, in Seoul
    group = stored_group(
        session_factory,
        period_start=today - timedelta(days=1),
        period_end=today + timedelta(days=60),
    )
    post = run(example("request"), session_factory=session_factory)["post_plans"]
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)):
        status, problem = in_another_thread(lambda: post(group.tenant_id, group.id))
    assert (status, problem["code"], problem["detail"]) == (409, "plan_group_locked", BUSY)
    status, body = post(group.tenant_id, group.id)
    assert (status, body["generation"]) == (200, 1)
    assert len(body["plans"]) == len(live(session_factory, group)) > 0
    json.dumps(body)


def test_creations_of_the_guide_store_saved_groups(
    session_factory: Factory, ids: dict[str, UUID]
) -> None:
    names = run(example("create"), session_factory=session_factory, **ids)
    created = names["group"]
    names = run(example("rows"), **names)
    with session_factory() as session:
        for group in (created, names["group"]):
            stored = PlanGroupRepository(session, ids["tenant_id"]).get(group.id)
            assert stored.status is GroupStatus.SAVED
            assert stored.student_id == ids["student_id"]
            assert [content.last_unit for content in stored.contents] == [120]


def test_state_of_the_guide_is_changed(
    session_factory: Factory, group: PlanGroup, ids: dict[str, UUID]
) -> None:
    names = {"UnitOfWork": UnitOfWork, "PlanGroupLock": PlanGroupLock}
    run(example("state"), session_factory=session_factory, **names, **ids)
    with session_factory() as session:
        stored = PlanGroupRepository(session, group.tenant_id).get(group.id)
        assert stored.status is GroupStatus.PAUSED


def test_progress_of_the_guide_marks_the_plan_as_done(
    session_factory: Factory, group: PlanGroup, ids: dict[str, UUID]
) -> None:
    plan_id = generate(session_factory, group).plan_ids[0]
    run(example("progress"), session_factory=session_factory, plan_id=plan_id, **ids)
    (marked,) = (plan for plan in live(session_factory, group) if plan.id == plan_id)
    assert marked.state == "done"


def test_undo_of_the_guide_takes_the_generation_back(
    session_factory: Factory, group: PlanGroup, ids: dict[str, UUID]
) -> None:
    generate(session_factory, group)
    names = run(example("undo"), session_factory=session_factory, **ids)
    assert names["undone"] == 1
    assert len(names["plans_then"]) > 0
    assert live(session_factory, group) == []


def test_reschedule_of_the_guide_catches_up(session_factory: Factory, ids: dict[str, UUID]) -> None:
    names = run(example("create"), session_factory=session_factory, **ids)
    created = names["group"]
    generate(session_factory, created, today=date(2025, 3, 3))
    known = {**ids, "group_id": created.id}
    names = run(example("reschedule"), session_factory=session_factory, **known)
    assert names["result"].changes.moved > 0


def test_reading_of_the_guide_returns_plans_and_groups(
    session_factory: Factory, ids: dict[str, UUID]
) -> None:
    names = run(example("create"), session_factory=session_factory, **ids)
    generate(session_factory, names["group"], today=date(2025, 3, 3))
    names = run(example("reading"), **names)
    assert {plan["title"] for plan in names["plans"]} == {"수학의 정석"}
    assert len(names["names"]) == 1  # the other group is active


def test_retries_of_the_guide_return_the_first_result_again(
    session_factory: Factory, ids: dict[str, UUID]
) -> None:
    group = run(example("create"), session_factory=session_factory, **ids)["group"]
    names = {"session_factory": session_factory, **ids, "group_id": group.id}
    first, second = (run(example("retries"), **names)["result"] for _ in range(2))
    assert first.generation == second.generation == 1
    assert first.plan_ids == second.plan_ids


def test_coroutine_of_the_guide_generates(
    session_factory: Factory, ids: dict[str, UUID], database_url: sa.URL
) -> None:
    group = run(example("create"), session_factory=session_factory, **ids)["group"]
    post = run(example("asyncio"))["post_plans_async"]
    assert asyncio.run(post(database_url, group.tenant_id, group.id)) == 1


@pytest.fixture
def events() -> Iterator[dict[str, Any]]:
    names = run(example("events"))
    yield names
    names["unsubscribe"]()


def test_listener_of_the_guide_counts_events(events: dict[str, Any]) -> None:
    emit(LockEvent("busy", "group"))
    assert events["outcomes"] == {"plan_group_lock.busy": 1}


# --- the guide to the lock ------------------------------------------------------------------


def test_locks_of_the_guide_are_valid(ids: dict[str, UUID]) -> None:
    other_group_id = uuid4()
    names = run(example("waiting"), **ids, other_group_id=other_group_id)
    assert names["patient"].max_wait == timedelta(seconds=3)
    assert names["several"].group_ids == {ids["group_id"], other_group_id}
    assert names["limited"].limits.idle == timedelta(seconds=10)


def test_engine_for_a_pooler_prepares_no_statement(database_url: sa.URL) -> None:
    engine = run(example("pooler"), url=database_url)["engine"]
    with engine.connect() as connection:
        assert connection.connection.driver_connection.prepare_threshold is None
    engine.dispose()


@pytest.fixture
def role(owner_engine: sa.Engine) -> Iterator[str]:
    """A role with the privileges of an application, in place of ``authenticated``."""
    name = f"studyplan_authenticated_{os.getpid()}"
    with owner_engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name}")
        schema.grant(connection, name)
    yield name
    with owner_engine.begin() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {name}")
        connection.exec_driver_sql(f"DROP ROLE {name}")


def test_row_level_security_of_the_guide_hides_the_groups_of_other_tenants(
    owner_engine: sa.Engine, role: str, group: PlanGroup
) -> None:
    texts = [example("row-level security"), example("policy")]
    assert [text.count("authenticated") for text in texts] == [1, 1]
    listener, policy = (text.replace("authenticated", role) for text in texts)
    factory = sessionmaker(owner_engine)
    tenant = group.tenant_id
    run(listener, session_factory=factory, claims=lambda: json.dumps({"tenant_id": str(tenant)}))
    with owner_engine.begin() as connection:
        connection.exec_driver_sql(policy.replace("%", "%%"))
    try:
        with factory() as session:
            assert PlanGroupRepository(session, tenant).get(group.id).id == group.id
        other, tenant = tenant, uuid4()
        with factory() as session, pytest.raises(PlanGroupNotFoundError):
            PlanGroupRepository(session, other).get(group.id)
    finally:
        with owner_engine.begin() as connection:
            connection.exec_driver_sql("DROP POLICY tenant ON studyplan.plan_groups")
            connection.exec_driver_sql(
                "ALTER TABLE studyplan.plan_groups DISABLE ROW LEVEL SECURITY"
            )


# --- the command line -----------------------------------------------------------------------


def test_command_of_the_guide_plans_the_document_as_json(
    database_url: sa.URL, tmp_path: Path
) -> None:
    (tmp_path / "group.json").write_text(example("document"), "utf-8")
    names = run(example("read a document").replace("group.json", str(tmp_path / "group.json")))
    assert names["document"] == read_json(example("document").encode())
    assert names["draft"].contents == ()
    python = Path(sys.executable).parent
    line = json.loads(
        printed(
            ["sh", "-ec", example("generate")],
            tmp_path,
            PATH=f"{python}{os.pathsep}{os.environ['PATH']}",
            DATABASE_URL=database_url.render_as_string(hide_password=False),
        )
    )
    members = {first: code(names) for first, names in rows(CLI, "Output of generate", "object")}
    assert [*line, "error"] == list(dict.fromkeys(members["a line"]))
    kinds = {"study", "review"}
    assert list(line["plans"][0]) == [one for one in members["a plan"] if one not in kinds]
    assert set(line["quality"]) == set(members["the quality"])
