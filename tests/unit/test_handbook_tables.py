"""The tables of the documents have exactly what the code has."""

import importlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import MISSING, fields, is_dataclass
from itertools import permutations
from types import ModuleType
from typing import get_args, get_type_hints

from domain import errors, services
from domain.documents import document as documents
from domain.documents.document import PlanGroupDocument
from domain.events import GenerationEvent, LockEvent
from domain.locking import policy
from domain.models import GroupStatus
from domain.models.content import ContentSettings
from domain.models.plan_group import PlanGroupSettings
from domain.models.study_time import (
    AcademyScheduleSettings,
    BlockSettings,
    ExclusionSettings,
    NonStudyBlockSettings,
    SpecialDaySettings,
)
from domain.repositories.plan_rows import GenerationResult, PlanView
from domain.scheduling import validation
from domain.scheduling.result import (
    Certificate,
    Quality,
    Repair,
    RepairKind,
    ScheduledPlan,
    Unplaced,
)
from domain.scheduling.types import MAX_UNITS
from domain.services.group_states import TRANSITIONS
from domain.services.service import Service
from domain.testing import plugin
from domain.testing.faults import Step
from tests.handbook import DOCUMENTS, EXTRAS, PROJECT, code, parsers, rows, section

GUIDE, CLI, LOCK = "domain/services/README.md", "domain/cli/README.md", "domain/locking/README.md"
TESTING = "domain/testing/README.md"


def revision() -> ModuleType:
    path = PROJECT / "alembic" / "versions" / "sp_0002_lock_functions.py"
    spec = importlib.util.spec_from_file_location("revision", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_table_of_extras_has_every_extra() -> None:
    listed = [name for first, _ in rows("README.md", "Install", "extra") for name in code(first)]
    assert sorted(listed) == sorted(EXTRAS)


def test_names_of_extras_do_not_differ_by_three_letters_or_fewer() -> None:
    pairs = permutations(EXTRAS, 2)
    assert [(a, b) for a, b in pairs if b.startswith(a) and len(b) <= len(a) + 3] == []


def test_table_of_errors_has_every_code_with_its_status() -> None:
    listed = [
        (name, int(status), retryable == "yes")
        for names, status, retryable, _ in rows(GUIDE, "Errors", "code")
        for name in code(names)
    ]
    kinds = [kind for kind in vars(errors).values() if hasattr(kind, "code")]
    assert sorted(listed) == sorted((kind.code, kind.http_status, kind.retryable) for kind in kinds)


def test_table_of_events_has_every_outcome() -> None:
    for event, (_, outcomes) in zip(
        (LockEvent, GenerationEvent), rows(GUIDE, "Observability", "event"), strict=True
    ):
        assert code(outcomes) == list(get_args(get_type_hints(event)["outcome"]))


def test_table_of_loggers_has_every_logger() -> None:
    created = {
        name
        for path in (PROJECT / "domain").rglob("*.py")
        for name in re.findall(r'getLogger\("([^"]+)"\)', path.read_text("utf-8"))
    }
    named = set(
        re.findall(
            r"`(studyplan\.(?:lock|generation|retry|schema|unit_of_work))`", DOCUMENTS[GUIDE]
        )
    )
    assert named == created


def test_table_of_services_has_every_service() -> None:
    listed = [name for first, _, _ in rows(GUIDE, "Services", "service") for name in code(first)]
    assert sorted(listed) == sorted(name for name in services.__all__ if name.endswith("Service"))


def test_table_of_methods_has_every_method_and_argument() -> None:
    listed = {
        method: set(code(arguments))
        for methods, arguments in rows(GUIDE, "Services", "method")
        for method in code(methods)
    }
    methods = {
        name: set(inspect.signature(method).parameters)
        for service in (getattr(services, name) for name in services.__all__)
        if inspect.isclass(service) and issubclass(service, Service)
        for name, method in vars(service).items()
        if inspect.isfunction(method) and not name.startswith("_")
    }
    assert listed.keys() == methods.keys()
    common = {"self", "fields", "group_id", "student_id"}
    for name, parameters in methods.items():
        if not name.startswith(("change_", "remove_")):
            named = listed[name] - {"RowVersion(id, version)", "part_done", "student_id"}
            assert named == parameters - common, name


def test_table_of_metrics_has_every_metric() -> None:
    listed = rows(GUIDE, "Observability", "metric of `domain.telemetry`")
    source = (PROJECT / "domain" / "telemetry.py").read_text("utf-8")
    created = re.findall(r'create_\w+\(\s*"([^"]+)"', source)
    assert sorted(code(first)[0] for first, _ in listed) == sorted(created)


def test_table_of_editable_fields_has_every_field() -> None:
    settings: dict[str, set[str]] = {
        "settings": set(get_type_hints(PlanGroupSettings)),
        "content": {*get_type_hints(ContentSettings), "episodes"},
        "block": set(get_type_hints(BlockSettings)),
        "non_study_block": set(get_type_hints(NonStudyBlockSettings)),
        "special_day": set(get_type_hints(SpecialDaySettings)),
        "class": set(get_type_hints(AcademyScheduleSettings)),
        "exclusion": set(get_type_hints(ExclusionSettings)),
    }
    listed = {
        method: set(code(names))
        for methods, names in rows(GUIDE, "Editing", "method")
        for method in code(methods)
    }
    editing = (services.GroupEditService, services.GroupTimeService, services.StudentTimeService)
    methods = {
        name
        for service in editing
        for name, method in inspect.getmembers(service, inspect.isfunction)
        if name.startswith(("add_", "change_"))
    }
    assert listed == {name: settings[name.partition("_")[2]] for name in methods}


def test_table_of_states_has_every_transition() -> None:
    listed = {
        code(state)[0]: {GroupStatus(name) for name in code(to)}
        for state, to in rows(GUIDE, "Editing", "state")
    }
    assert listed == {state.value: set(to) for state, to in TRANSITIONS.items()}


def test_list_of_plan_view_fields_is_complete() -> None:
    text = section(GUIDE, "Reading").partition("`to_dict()` has")[2].partition("A page")[0]
    (plan,) = (
        names for first, names in rows(CLI, "Output of generate", "object") if first == "a plan"
    )
    shape = {*re.findall(r'"(\w+)":', inspect.getsource(PlanView.to_dict))}
    shape |= {*re.findall(r'"(\w+)":', inspect.getsource(ScheduledPlan.to_dict))}
    assert {*code(text), *code(plan)} - {"study", "review"} == shape


def test_table_of_commands_has_every_command_and_option() -> None:
    listed = {}
    for first, _ in rows(CLI, "Command line and documents", "command"):
        usage = code(first)[0]
        listed[usage.split()[0]] = set(re.findall(r"--[\w-]+|\b(?:FILE|GROUP)\b", usage))
    known = {
        name: {
            action.option_strings[-1] if action.option_strings else str(action.metavar)
            for action in parser._actions
            if "--help" not in action.option_strings
        }
        for name, parser in parsers().items()
    }
    assert listed == known


def entries(kind: type) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each field of an entry, "yes" if it is required, and its default."""
    for field in fields(kind):
        required = "yes" if field.default is MISSING else ""
        yield field.name, required, "" if kind is documents.FactorsEntry else default(field.default)


def default(value: object) -> str:
    """Return the default as the table writes it; the defaults of an object are in its fields."""
    if value is MISSING or is_dataclass(value):
        return ""
    if value is None or value == ():
        return "none"
    if value == documents.EVERY_DAY:
        return "all"
    return (
        str(value) if type(value) is int else f"`{str(value).lower() if value is False else value}`"
    )


def test_table_of_document_fields_has_every_field_and_default() -> None:
    nested = {
        "period": documents.PeriodEntry,
        "cycle": documents.CycleEntry,
        "factors": documents.FactorsEntry,
        "blocks": documents.BlockEntry,
        "non_study_blocks": documents.NonStudyBlockEntry,
        "special_days": documents.SpecialDayEntry,
        "academy_schedules": documents.AcademyScheduleEntry,
        "exclusions": documents.ExclusionEntry,
        "contents": documents.ContentEntry,
    }
    listed: dict[str, set[tuple[str, str, str]]] = {"": set()}
    parent = ""
    for first, required, written, _ in rows(CLI, "Plan group documents", "field"):
        names = code(first)
        if not first.startswith("…"):
            (parent,) = names[-1:]
        nested_in = parent if first.startswith("…") else ""
        # The planning core defines the defaults of the factors, so they are not compared.
        shown = "" if nested_in == "factors" else written
        owner = listed.setdefault(nested_in, set())
        owner |= {(name, required, shown) for name in names}
    known = {"": set(entries(PlanGroupDocument))}
    known |= {name: set(entries(kind)) for name, kind in nested.items()}
    assert listed == known


def test_limits_of_a_group_are_those_of_the_rules() -> None:
    limits = (
        f"at most {validation.MAX_DAYS} days, {validation.MAX_CONTENTS} contents with "
        f"{MAX_UNITS:,} units in total, and {validation.MAX_SPANS} spans of one kind per weekday"
    )
    assert limits in DOCUMENTS[CLI]


def test_table_of_results_has_every_member() -> None:
    listed = {first: set(code(names)) for first, names in rows(CLI, "Output of generate", "object")}
    assert listed["the quality"] == {field.name for field in fields(Quality)}
    assert listed["an unplaced range"] == {field.name for field in fields(Unplaced)}
    assert listed["a certificate"] == {field.name for field in fields(Certificate)}
    assert listed["a repair"] == {field.name for field in fields(Repair)} | set(RepairKind)


def test_list_of_result_members_is_complete() -> None:
    text = DOCUMENTS[GUIDE].partition("**The result** has")[2].partition("\n* ")[0]
    assert set(code(text)) == {field.name for field in fields(GenerationResult)} | {"views"}


def test_table_of_repairs_has_every_kind() -> None:
    listed = [code(first)[0] for first, _ in rows(GUIDE, "Unplaced units", "repair")]
    assert listed == [kind.name for kind in RepairKind]


def test_table_of_functions_has_every_function_of_the_revision() -> None:
    functions = {re.split(r"[.(]", signature)[1] for signature in revision().FUNCTIONS}
    assert (
        set(re.findall(r"`(\w+)\(", section(LOCK, "SQL functions"))) - {"lock_status"} == functions
    )


def test_table_of_waits_matches_the_constants() -> None:
    waits = {
        name: text for _, text, name in rows(LOCK, "Waiting and the connection pool", "request")
    }
    assert "300 ms" in waits["`WAIT_BEHIND_SHARED`"]
    assert policy.WAIT_BEHIND_SHARED.microseconds == 300_000
    assert "1 s" in waits["`SHARED_WAIT`"]
    assert policy.SHARED_WAIT.total_seconds() == 1
    assert "at most 10 minutes" in DOCUMENTS[LOCK]
    assert policy.MAX_WAIT.total_seconds() == 600
    limits = policy.Limits()
    for limit, text in (
        (limits.idle, "30 seconds"),
        (limits.transaction, "5 minutes"),
        (limits.row_lock, "5 seconds"),
    ):
        number, unit = text.split()
        assert text in DOCUMENTS[LOCK]
        assert limit.total_seconds() == int(number) * (60 if unit == "minutes" else 1)


def test_table_of_fixtures_has_every_fixture() -> None:
    listed = {
        name.partition("(")[0]
        for first, _ in rows("domain/testing/README.md", "Testing your application", "fixture")
        for name in code(first)
    }
    assert listed == {
        name
        for name, value in vars(plugin).items()
        if type(value).__name__ == "FixtureFunctionDefinition"
    }


def test_table_of_steps_has_every_step() -> None:
    listed = [
        code(first)[0]
        for first, _ in rows("domain/testing/README.md", "Testing your application", "step")
    ]
    assert listed == [f"Step.{step.name}" for step in Step]


def test_table_of_suites_has_every_directory() -> None:
    listed = {
        code(first)[0]
        for first, _ in rows("tests/README.md", "Tests, proofs and benchmarks", "directory")
    }
    assert listed == {path.parent.name for path in (PROJECT / "tests").glob("*/__init__.py")} | {
        path.name for path in (PROJECT / "tests").iterdir() if any(path.glob("test_*.py"))
    }


def test_table_of_layers_matches_the_import_contract() -> None:
    contract = ConfigParser()
    contract.read(PROJECT / ".importlinter")
    layers = contract["importlinter:contract:layers"]["layers"].split("\n")
    known = [set(line.split(" | ")) for line in layers if line and line != "__main__"]
    assert [
        set(code(first)) for first, _ in rows("domain/README.md", "Layers", "package or module")
    ] == known
