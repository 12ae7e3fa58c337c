import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from domain.cli import generate
from domain.cli.main import main
from domain.repositories.plan_rows import GenerationResult
from domain.scheduling.result import Quality
from tests.unit.documents.documents import BOOK, EXAMPLE, written

SHORT = {"blocks": [{"kind": "study", "start": "10:00", "end": "10:01"}]}
OVERFULL: dict[str, Any] = {
    "strategy": "even",
    "period": {"start": "2025-01-06", "end": "2025-01-09"},
    "factors": {"weakness": "1"},
    "blocks": [{"kind": "study", "start": "10:00", "end": "10:30"}],
    "contents": [{**BOOK, "range": [1, 300], "minutes_per_unit": 2}],
}
TABLES = ("plan_groups", "contents", "exclusions", "academy_schedules", "student_plans")


@pytest.fixture
def rows(
    template: str, new_database: Callable[[str], sa.URL], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], dict[str, int]]]:
    """A function that counts the rows of ``DATABASE_URL``, an empty database with the schema."""
    url = new_database(template)
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    engine = sa.create_engine(url, poolclass=sa.NullPool)

    def count() -> dict[str, int]:
        with engine.connect() as connection:
            return {
                table: connection.scalar(
                    sa.select(sa.func.count()).select_from(sa.table(table, schema="studyplan"))
                )
                or 0
                for table in TABLES
            }

    yield count
    engine.dispose()


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., str]:
    def make(name: str, data: bytes = EXAMPLE) -> str:
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return make


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a database was requested")

    monkeypatch.setattr(generate, "open_database", refuse)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def minutes(plans: list[dict[str, Any]], key: str) -> dict[Any, int]:
    sums: dict[Any, int] = defaultdict(int)
    for plan in plans:
        sums[plan[key]] += plan["minutes"]
    return dict(sums)


def test_generate_plans_the_worked_example_as_specified(
    rows: Callable[[], dict[str, int]], file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = file("example.json")
    assert main(["generate", "--json", name]) == 0
    [line] = lines(capsys)
    assert (line["file"], line["generation"], line["unplaced"]) == (name, 1, [])
    assert (line["certificate"], line["repairs"], line["day_shifts"]) == (None, [], {})
    study = [plan for plan in line["plans"] if plan["kind"] == "study"]
    reviews = [plan for plan in line["plans"] if plan["kind"] == "review"]
    assert len({plan["date"] for plan in study}) == 24
    assert minutes(study, "content") == {0: 1200, 1: 600, 2: 1080, 3: 720}
    assert minutes(reviews, "date") == {"2025-01-07": 349, "2025-01-14": 335, "2025-01-22": 349}
    assert {plan["date"] for plan in line["plans"] if plan["reserve"]} == {"2025-01-22"}
    assert not all(plan["reserve"] for plan in reviews if plan["date"] == "2025-01-22")
    assert max(minutes(study, "date").values()) == line["quality"]["peak"] == 271
    assert rows() == {
        "plan_groups": 1,
        "contents": 4,
        "exclusions": 1,
        "academy_schedules": 1,
        "student_plans": len(line["plans"]),
    }


def test_json_line_has_the_promised_keys(
    rows: Callable[[], dict[str, int]], file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    contents = [{**BOOK, "title": "수학"}, {**BOOK, "range": [1, 999], "title": "국어"}]
    blocks = [{"kind": "study", "start": "22:00", "end": "24:00"}]
    document = written(strategy="even", contents=contents, blocks=blocks)
    assert main(["generate", "--json", file("a", document)]) == 0
    [line] = lines(capsys)
    assert list(line) == [
        *("file", "generation", "plans", "unplaced", "certificate", "repairs", "warnings"),
        *("quality", "day_shifts"),
    ]
    assert set(line["plans"][0]) == {
        *("date", "from", "to", "content", "kind", "first_unit", "last_unit", "part", "parts"),
        *("minutes", "reserve", "week", "cycle", "cycle_day", "sequence"),
    }
    assert "24:00" in {plan["to"] for plan in line["plans"]}
    assert [plan["sequence"] for plan in line["plans"]] == [*range(1, len(line["plans"]) + 1)]
    unplaced = line["unplaced"][-1]
    assert set(unplaced) == {"content", "first_unit", "last_unit", "minutes", "reason"}
    assert (unplaced["content"], unplaced["last_unit"], unplaced["reason"]) == (1, 999, "no_room")
    assert all(set(warning) == {"code", "data", "messages"} for warning in line["warnings"])
    assert all(set(warning["messages"]) == {"ko", "en"} for warning in line["warnings"])
    assert set(line["certificate"]) == {"contents", "days", "need", "have"}
    assert {tuple(repair) for repair in line["repairs"]} == {("kind", "amount", "content")}
    assert list(line["quality"]) == [field.name for field in fields(Quality)]
    assert rows()["student_plans"] == len(line["plans"])


@pytest.mark.usefixtures("rows")
def test_json_line_has_the_day_shifts_by_the_index_of_the_content(
    file: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = generate.generate

    def shifted(*arguments: Any) -> GenerationResult:
        return replace(original(*arguments), day_shifts={3: 0, 1: 5})

    monkeypatch.setattr(generate, "generate", shifted)
    assert main(["generate", "--json", file("a")]) == 0
    [line] = lines(capsys)
    assert list(line["day_shifts"].items()) == [("1", 5), ("3", 0)]


def test_json_warning_has_the_title_in_its_messages_and_the_index_in_its_data(
    rows: Callable[[], dict[str, int]], file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    document = written(strategy="even", period={"start": "2025-01-06", "end": "2025-01-10"})
    assert main(["generate", "--json", file("a", document)]) == 0
    [line] = lines(capsys)
    [warning] = [item for item in line["warnings"] if item["code"] == "unreviewed"]
    assert warning["data"]["content"] == 0
    assert "수학" in warning["messages"]["ko"]
    assert "수학" in warning["messages"]["en"]
    assert rows()["plan_groups"] == 1


@pytest.mark.usefixtures("rows")
def test_generate_explains_unplaced_units_in_json_and_in_both_languages(
    file: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    name = file("a", written(**OVERFULL))
    assert main(["generate", "--json", name]) == 0
    [line] = lines(capsys)
    assert line["certificate"] == {
        "contents": [0],
        "days": ["2025-01-06", "2025-01-07", "2025-01-08", "2025-01-09"],
        "need": 600,
        "have": 120,
    }
    assert line["repairs"] == [
        {"kind": "minutes_per_day", "amount": 120, "content": None},
        {"kind": "days", "amount": 19, "content": None},
        {"kind": "units", "amount": 240, "content": 0},
    ]
    assert main(["generate", name]) == 0
    printed = capsys.readouterr().out
    assert "이유: 수학에 600분이 필요하지만 사용 가능한 시간은 120분입니다 (4일)." in printed
    assert "공부하는 날마다 120분 추가 · 기간 19일 연장 · 수학 마지막 240쪽 제외" in printed
    assert main(["generate", "--language", "en", name]) == 0
    printed = capsys.readouterr().out
    assert "Why: 600 min are needed for 수학, but only 120 min are free (4 days)." in printed
    assert "120 minutes more on every study day · a period 19 days longer · leaving" in printed


@pytest.mark.usefixtures("rows")
def test_generate_explains_nothing_if_everything_is_placed(
    file: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    assert main(["generate", file("a")]) == 0
    printed = capsys.readouterr().out
    assert "모든 내용을 배치했습니다." in printed
    assert "이유:" not in printed
    assert "해결 방법" not in printed


@pytest.mark.usefixtures("rows")
def test_today_option_sets_the_first_planned_day(
    file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "--json", "--today", "2025-01-10", file("a")]) == 0
    assert min(plan["date"] for plan in lines(capsys)[0]["plans"]) == "2025-01-10"
    assert main(["generate", "--today", "2025-01-10", file("a")]) == 0
    bars = capsys.readouterr().out.splitlines()[-2]
    assert len("".join(bars.split())) == 24 - 8


def test_generate_plans_each_document_for_a_separate_student(
    rows: Callable[[], dict[str, int]], file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = file("a")
    assert main(["generate", "--json", name, name]) == 0
    first, second = lines(capsys)
    assert first == second
    assert rows()["plan_groups"] == 2


def test_generate_reports_errors_by_field_and_plans_the_other_documents(
    rows: Callable[[], dict[str, int]], file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    good = file("good", written())
    bad = file("bad", written(contents=[{**BOOK, "range": [9, 1], "weekly_days": 2}]))
    form = file("form", written(name=""))
    assert main(["generate", "--json", bad, good, form]) == 2
    printed = capsys.readouterr()
    assert [json.loads(line)["file"] for line in printed.out.splitlines()] == [good]
    assert printed.err.splitlines() == [
        f"{bad}: contents[0].range: must be 1 ≤ first ≤ last",
        f"{bad}: contents[0].weekly_days: is only allowed for strategy contents",
        f"{form}: name: must not be empty",
    ]
    assert rows()["plan_groups"] == 1


@pytest.mark.usefixtures("no_server")
@pytest.mark.parametrize("form", [["--json"], []])
@pytest.mark.parametrize(
    ("field_errors", "rest"),
    [(50, []), (51, ["… and 1 more error"]), (100_000, ["… and 99950 more errors"])],
)
def test_generate_lists_fifty_errors_per_file_and_counts_the_rest(
    form: list[str],
    field_errors: int,
    rest: list[str],
    file: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    unknown = written(**{f"k{number}": 1 for number in range(field_errors)})
    names = [file("a", unknown), file("b", unknown)]
    assert main(["generate", *form, *names]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    listed = [f"k{number}: is not a known key" for number in range(50)]
    assert printed.err.splitlines() == [
        f"{name}: {line}" for name in names for line in [*listed, *rest]
    ]


def test_generate_reports_a_group_that_cannot_be_planned_and_plans_the_others(
    rows: Callable[[], dict[str, int]], file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [file("empty", written(contents=[])), file("good", written())]
    assert main(["generate", "--json", *names]) == 1
    failed, planned = lines(capsys)
    assert set(failed) == {"file", "error"}
    assert (failed["error"]["code"], failed["error"]["status"]) == ("no_contents", 422)
    assert planned["plans"]
    assert rows()["plan_groups"] == 1


@pytest.mark.usefixtures("rows")
def test_exit_code_is_2_for_a_bad_document_and_a_group_that_cannot_be_planned(
    file: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    names = [file("empty", written(contents=[])), file("bad", b"{")]
    assert main(["generate", "--json", *names]) == 2
    assert [set(line) for line in lines(capsys)] == [{"file", "error"}]


@pytest.mark.usefixtures("no_server")
def test_generate_opens_no_database_if_all_documents_are_bad(
    file: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "missing.json")
    assert main(["generate", file("bad", b""), missing, str(tmp_path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        f"{tmp_path / 'bad'}: document: is empty",
        f"{missing}: document: cannot be read: No such file or directory",
        f"{tmp_path}: document: cannot be read: Is a directory",
    ]


def test_exit_code_is_2_for_a_bad_document_and_a_database_that_does_not_answer(
    file: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert main(["generate", file("good")]) == 1
    assert main(["generate", file("bad", b""), file("good")]) == 2
    assert "The database failed: " in capsys.readouterr().err


def test_generate_refuses_a_database_without_the_schema(
    new_database: Callable[[str], sa.URL],
    file: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = new_database("template0")
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    assert main(["generate", file("good")]) == 1
    assert "python -m domain upgrade" in capsys.readouterr().err


@pytest.mark.usefixtures("rows")
def test_generate_prints_a_timetable_with_the_rest_of_the_result(
    file: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    assert main(["generate", file("a"), file("empty", written(contents=[]))]) == 1
    printed = capsys.readouterr().out
    for piece in ("4주차", "휴가 · 가족 여행", "복습 p.1–50", "모든 내용을", "4시간 31분"):
        assert piece in printed
    assert "플랜 콘텐츠가 없습니다. (no_contents)" in printed
    assert main(["generate", "--language", "en", file("a")]) == 0
    assert "Everything was placed." in capsys.readouterr().out


def test_today_option_accepts_only_one_date_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["generate", "--today", "20250101", "x"])
    assert stop.value.code == 2
    assert "must be a date such as 2025-01-31" in capsys.readouterr().err
