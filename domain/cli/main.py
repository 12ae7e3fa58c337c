"""The commands and their exit codes. Imports what needs an extra only to run a command."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date
from typing import Final

import psycopg
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from domain.cli.database import (
    DatabaseUrlError,
    downgrade,
    engine_for,
    given_url,
    upgrade,
    upgrade_sql,
)
from domain.embedded import MissingBinariesError, ServerStartError
from domain.errors import DatabaseReadOnlyError, SchemaError, WrongTransactionError

FAILED: Final = 1
MISUSED: Final = 2
INTERRUPTED: Final = 130
# rows that the database refuses are rows that the checks forgot
_BUGS: Final = (psycopg.IntegrityError, psycopg.DataError)
_MENDABLE: Final = (
    DatabaseUrlError,
    SchemaError,
    WrongTransactionError,
    DatabaseReadOnlyError,
    ServerStartError,
    ModuleNotFoundError,
    DBAPIError,
    psycopg.Error,
    OSError,
)
_CLI_PACKAGES: Final = {"rich"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. What a user can mend is one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        return _guarded(lambda: options.run(options))
    except KeyboardInterrupt:
        return INTERRUPTED


def _guarded(run: Callable[[], int]) -> int:
    try:
        code = run()
        sys.stdout.flush()
    except BrokenPipeError:  # | head has seen enough
        _forget_stdout()
        return FAILED
    except _MENDABLE as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        if isinstance(error, OSError):
            _forget_stdout()
        return _told(sentence, MISUSED if isinstance(error, DatabaseUrlError) else FAILED)
    return code


def _sentence(error: Exception) -> str | None:
    """What the user can do; ``None`` for an error that is a bug of ours."""
    match error:
        case MissingBinariesError():
            return (
                "PostgreSQL's programs are missing: pip install 'studyplan-domain[demo]' "
                "(generate can do without them if DATABASE_URL is set)"
            )
        case ModuleNotFoundError():
            package = (error.name or "").partition(".")[0]
            install = f"{package} is missing: pip install 'studyplan-domain[cli]'"
            return install if package in _CLI_PACKAGES else None
        case DBAPIError() | psycopg.Error():
            cause = error.orig if isinstance(error, DBAPIError) else error
            first_line, _, _ = str(cause).strip().partition("\n")
            return None if isinstance(cause, _BUGS) else f"The database failed: {first_line}"
        case _:
            return str(error)


def _told(text: str, code: int = FAILED) -> int:
    sys.stderr.write(f"{text}\n")
    return code


def _forget_stdout() -> None:
    """What is left in the buffer would fail once more at the interpreter's exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m domain", description="Study plans, generated once."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("demo", help="eight simultaneous requests: one wins")
    command.set_defaults(run=_demo)
    _add_language(command)

    command = commands.add_parser(
        "generate",
        help="plan the groups of JSON documents",
        description="Plan each document for a student of its own: in the database of "
        "DATABASE_URL, where the rows stay, or on a throwaway server.",
        epilog="Exit code 2: a document has faults, told on stderr; the others are planned "
        "all the same. 1: a group could not be planned, or the database failed.",
    )
    command.add_argument("files", nargs="+", metavar="FILE")
    command.add_argument(
        "--today", type=_date, metavar="DATE", help="plan from this day on (the period's start)"
    )
    command.add_argument("--json", action="store_true", help="one line of JSON a file")
    command.set_defaults(run=_generate)
    _add_language(command)

    _add_migrations(commands)
    return parser


def _add_migrations(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = commands.add_parser(
        "upgrade",
        help="make the schema in DATABASE_URL, or print its SQL",
        description="Bring the database of DATABASE_URL to a revision, in one transaction.",
        epilog="Exit code 1: it failed, and nothing was changed. 2: it was called wrongly.",
    )
    command.add_argument(
        "--revision", default="head", metavar="R", help="the newest by default; with --sql also R:R"
    )
    command.add_argument(
        "--grant-to",
        type=_roles,
        metavar="ROLE,…",
        help="let these roles do what the package needs, also if the schema is there already",
    )
    command.add_argument(
        "--sql", action="store_true", help="print the SQL instead; needs no database"
    )
    command.set_defaults(run=_upgrade)

    command = commands.add_parser(
        "downgrade",
        help="take the schema in DATABASE_URL back",
        description="Take the database of DATABASE_URL back to a revision. This destroys data: "
        "'base' drops every table of the package.",
    )
    command.add_argument("--revision", required=True, metavar="R", help="'base' for none")
    command.set_defaults(run=_downgrade)


def _add_language(command: argparse.ArgumentParser) -> None:
    command.add_argument("--language", choices=("ko", "en"), default="ko", help="ko by default")


def _date(text: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    # fromisoformat alone would also take 20250101 and 2025-W01-3
    if found is None or found.isoformat() != text:
        raise argparse.ArgumentTypeError("must be a date such as 2025-01-31")
    return found


def _roles(text: str) -> str:
    if not text.replace(",", "").strip():
        raise argparse.ArgumentTypeError("must name a role, or several separated by commas")
    return text


def _demo(options: argparse.Namespace) -> int:
    from domain.cli import demo  # noqa: PLC0415 - needs the extras

    return demo.run(language=options.language)


def _generate(options: argparse.Namespace) -> int:
    from domain.cli import generate  # noqa: PLC0415 - needs the extra

    jobs = generate.checked(options.files, options.today)
    faulty = MISUSED if len(jobs) < len(options.files) else 0
    if not jobs:
        return faulty
    failed = _guarded(lambda: generate.run(jobs, as_json=options.json, language=options.language))
    return faulty or failed


def _upgrade(options: argparse.Namespace) -> int:
    grant_to = options.grant_to or ""
    if options.sql:
        # PostgreSQL's encoding, whatever the terminal's is: role names may be in any.
        written = upgrade_sql(options.revision, grant_to)
        sys.stdout.buffer.write(written.encode())
        return 0
    return _migrated(lambda engine: upgrade(engine, options.revision, grant_to))


def _downgrade(options: argparse.Namespace) -> int:
    return _migrated(lambda engine: downgrade(engine, options.revision))


def _migrated(run: Callable[[Engine], tuple[str | None, str | None]]) -> int:
    url = given_url()
    if url is None:
        return _told(
            "Set DATABASE_URL, for example postgresql://user@host/name, to say which database.",
            MISUSED,
        )
    with engine_for(url) as engine:
        before, after = run(engine)
    was = "already" if before == after else f"from {before or 'nothing'}"
    sys.stdout.write(f"The schema is at {after or 'nothing'} ({was}).\n")
    return 0
