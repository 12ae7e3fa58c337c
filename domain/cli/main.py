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

from domain import schema
from domain.cli.database import (
    DatabaseUrlError,
    downgrade,
    engine_for,
    upgrade,
    url_from_environment,
)
from domain.embedded.process import ServerStartError
from domain.embedded.server import MissingBinariesError
from domain.errors import DatabaseReadOnlyError, SchemaError, WrongTransactionError

EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
# The checks should have refused the rows that violate these.
_BUGS: Final = (psycopg.IntegrityError, psycopg.DataError)
_REPORTED: Final = (
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
    """Run one command and return its exit code.

    An error that the user can correct is one line on stderr; a bug of the package is raised.
    """
    options = _parser().parse_args(arguments)
    try:
        return _run(lambda: options.run(options))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _run(command: Callable[[], int]) -> int:
    try:
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:  # of ``| head``, for example
        _discard_stdout()
        return EXIT_FAILURE
    except _REPORTED as error:
        message = _message(error)
        if message is None:
            raise
        if isinstance(error, OSError):
            _discard_stdout()
        return _fail(message, EXIT_USAGE if isinstance(error, DatabaseUrlError) else EXIT_FAILURE)
    return code


def _message(error: Exception) -> str | None:
    """The line for the user; ``None`` for an error that is a bug of the package."""
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


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


def _discard_stdout() -> None:
    """Prevent a second failure when the interpreter flushes the buffer at exit."""
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
        epilog="Exit code 2: a document has errors, listed on stderr; the others are planned "
        "nevertheless. 1: a group could not be planned, or the database failed.",
    )
    command.add_argument("files", nargs="+", metavar="FILE")
    command.add_argument(
        "--today", type=_date, metavar="DATE", help="plan from this day on (the period's start)"
    )
    command.add_argument("--json", action="store_true", help="one line of JSON per file")
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
    # fromisoformat would also accept 20250101 and 2025-W01-3
    if found is None or found.isoformat() != text:
        raise argparse.ArgumentTypeError("must be a date such as 2025-01-31")
    return found


def _roles(text: str) -> str:
    if not text.replace(",", "").strip():
        raise argparse.ArgumentTypeError("must name a role, or several separated by commas")
    return text


def _demo(options: argparse.Namespace) -> int:
    from domain.cli import demo  # noqa: PLC0415 - needs the extras

    return 0 if demo.run(language=options.language) else EXIT_FAILURE


def _generate(options: argparse.Namespace) -> int:
    from domain.cli import generate  # noqa: PLC0415 - needs the extra

    def run() -> int:
        planned = generate.run(jobs, as_json=options.json, language=options.language)
        return 0 if planned else EXIT_FAILURE

    jobs = generate.read_jobs(options.files, options.today)
    code = _run(run) if jobs else 0
    return EXIT_USAGE if len(jobs) < len(options.files) else code


def _upgrade(options: argparse.Namespace) -> int:
    grant_to = options.grant_to or ""
    if options.sql:
        # PostgreSQL's encoding, whatever the terminal's is: role names may be in any.
        written = schema.upgrade_sql(options.revision, grant_to=grant_to)
        sys.stdout.buffer.write(written.encode())
        return 0
    return _migrate(lambda engine: upgrade(engine, options.revision, grant_to))


def _downgrade(options: argparse.Namespace) -> int:
    return _migrate(lambda engine: downgrade(engine, options.revision))


def _migrate(run: Callable[[Engine], tuple[str | None, str | None]]) -> int:
    url = url_from_environment()
    if url is None:
        return _fail(
            "Set DATABASE_URL, for example postgresql://user@host/name, to say which database.",
            EXIT_USAGE,
        )
    with engine_for(url) as engine:
        before, after = run(engine)
    was = "already" if before == after else f"from {before or 'nothing'}"
    sys.stdout.write(f"The schema is at {after or 'nothing'} ({was}).\n")
    return 0
