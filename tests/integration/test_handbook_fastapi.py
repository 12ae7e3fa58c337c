"""The FastAPI application of the guide, as printed, under simultaneous requests."""

import asyncio
import contextvars
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy.orm import Session, sessionmaker

from domain import PlanGroup, PlanGroupLock, UnitOfWork
from domain.testing import assert_lock_free
from tests.handbook import example
from tests.integration.storing import live, stored_group

Factory = sessionmaker[Session]
REQUESTS = 16
BURST = 100
"""More simultaneous requests than FastAPI's threads and the pool's connections, 40 each."""


@pytest.fixture(scope="module")
def client(database_url: sa.URL) -> Iterator[TestClient]:
    """A client of the application, whose start-up checks have passed."""
    names: dict[str, Any] = {"__name__": "app"}
    url = database_url.render_as_string(hide_password=False)
    with patch.dict(os.environ, {"DATABASE_URL": url}):
        for text in (example("fastapi"), example("fastapi dependency")):
            exec(compile(text, "app.py", "exec"), names)  # noqa: S102 - the project's own document
    with TestClient(names["app"], raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def group(session_factory: Factory) -> PlanGroup:
    """A group whose period has days left, whenever the test runs."""
    start = date.today() - timedelta(days=1)  # noqa: DTZ011 - the application plans from now on
    return stored_group(session_factory, period_start=start, period_end=start + timedelta(days=60))


def post(client: TestClient, group: PlanGroup, query: str = "") -> Response:
    """Request plans as a separate client, independent of a unit of work open in this context."""
    url = f"/{group.tenant_id}/groups/{group.id}/plans{query}"
    response: Response = contextvars.Context().run(client.post, url)
    return response


def test_endpoint_generates_and_returns_plans(
    client: TestClient, group: PlanGroup, session_factory: Factory
) -> None:
    response = post(client, group)
    assert response.status_code == 200
    assert response.json()["generation"] == 1
    stored = {str(plan.id) for plan in live(session_factory, group)}
    assert {plan["id"] for plan in response.json()["plans"]} == stored != set()


def test_busy_group_is_answered_with_409_and_retry_after(
    client: TestClient, group: PlanGroup, session_factory: Factory
) -> None:
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)):
        response = post(client, group)
    assert response.status_code == 409
    assert response.headers["Retry-After"] == "1"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["code"] == "plan_group_locked"


def test_expected_generation_lets_one_of_many_requests_generate(
    client: TestClient, group: PlanGroup, engine: sa.Engine
) -> None:
    barrier = threading.Barrier(REQUESTS)

    def request(_: int) -> Response:
        barrier.wait()
        return post(client, group, "?expected_generation=0")

    with ThreadPoolExecutor(REQUESTS) as threads:
        responses = list(threads.map(request, range(REQUESTS)))
    statuses = sorted(response.status_code for response in responses)
    assert statuses == [200, *[409] * (REQUESTS - 1)]
    codes = {response.json()["code"] for response in responses if response.status_code == 409}
    assert codes <= {"plan_group_locked", "edited_meanwhile"}
    assert_lock_free(engine, group)


def test_burst_of_requests_for_different_groups_is_served(
    client: TestClient, session_factory: Factory
) -> None:
    start = date.today()  # noqa: DTZ011 - the application plans from now on
    groups = [
        stored_group(session_factory, period_start=start, period_end=start + timedelta(days=6))
        for _ in range(BURST)
    ]

    async def main() -> list[Response]:
        transport = ASGITransport(app=client.app)
        async with AsyncClient(transport=transport, base_url="http://app") as burst:
            urls = [f"/{group.tenant_id}/groups/{group.id}/plans" for group in groups]
            return await asyncio.gather(*(burst.post(url, timeout=60) for url in urls))

    responses = asyncio.run(main())
    assert [response.status_code for response in responses] == [200] * BURST


def test_dependency_of_a_coroutine_releases_the_lock_before_the_response(
    client: TestClient, group: PlanGroup, session_factory: Factory, engine: sa.Engine
) -> None:
    url = f"/{group.tenant_id}/groups/{group.id}/plans/async"
    with UnitOfWork(session_factory, lock=PlanGroupLock(group.tenant_id, group.id)):
        busy = contextvars.Context().run(client.post, url)
    assert (busy.status_code, busy.json()["code"]) == (409, "plan_group_locked")
    response = client.post(url)
    assert_lock_free(engine, group)
    assert (response.status_code, response.json()) == (200, {"generation": 1})


def test_created_group_is_read_with_its_plans(client: TestClient) -> None:
    tenant_id, student_id = uuid4(), uuid4()
    first = date.today()  # noqa: DTZ011 - the application plans from now on
    body = {
        "name": "중간고사 대비",
        "period": {"start": str(first), "end": str(first + timedelta(days=27))},
        "blocks": [{"kind": "study", "start": "00:00", "end": "24:00"}],
        "contents": [
            {"type": "book", "title": "수학의 정석", "allocation": "weakness", "range": [1, 120]}
        ],
    }
    created = client.post(f"/{tenant_id}/groups?student_id={student_id}", json=body)
    assert (created.status_code, created.json()["status"]) == (201, "saved")
    client.post(f"/{tenant_id}/groups/{created.json()['id']}/plans")
    query = f"?first={first}&last={first + timedelta(days=27)}"
    plans = client.get(f"/{tenant_id}/students/{student_id}/plans{query}").json()
    assert {plan["title"] for plan in plans} == {"수학의 정석"}


@pytest.mark.parametrize(
    ("change", "field"),
    [({"name": 1}, "name"), ({"period": {"start": "2025-03-03", "end": "2025-03-01"}}, "period")],
    ids=["a wrong form", "a broken rule"],
)
def test_invalid_document_is_answered_with_422_and_the_field(
    client: TestClient, change: dict[str, Any], field: str
) -> None:
    body = {"name": "초안", "period": {"start": "2025-03-03", "end": "2025-03-30"}, **change}
    response = client.post(f"/{uuid4()}/groups?student_id={uuid4()}", json=body)
    assert response.status_code == 422
    assert field in response.text


def test_unknown_group_is_answered_with_404(client: TestClient) -> None:
    response = client.post(f"/{uuid4()}/groups/{uuid4()}/plans")
    assert (response.status_code, response.json()["code"]) == (404, "plan_group_not_found")
