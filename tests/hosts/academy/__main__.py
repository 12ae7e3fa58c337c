"""Check an installation: generate plans while a simultaneous request is refused."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from uuid import uuid4

from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from academy.planning import add_group, add_student, post_plans
from domain import PlanGenerationService, PlanGroupLock, UnitOfWork, schema

engine = create_engine(os.environ["DATABASE_URL"])
with engine.connect() as connection:
    schema.require_current(connection)
session_factory = sessionmaker(engine)
today, tenant_id = date(2026, 3, 2), uuid4()
student_id = add_student(session_factory, tenant_id, "Kim")
group_id = add_group(session_factory, tenant_id, student_id)

with (
    ThreadPoolExecutor() as other_requests,
    UnitOfWork(session_factory, lock=PlanGroupLock(tenant_id, group_id)) as uow,
):
    second = other_requests.submit(post_plans, session_factory, tenant_id, group_id, today)
    status, problem = second.result()
    result = PlanGenerationService(uow).generate(today=today)
    uow.commit()

report = {
    "generation": result.generation,
    "plans": len(result.plans),
    "refused": [status, problem["code"]],
    "afterwards": post_plans(session_factory, tenant_id, group_id, today),
}
print(json.dumps(report))
