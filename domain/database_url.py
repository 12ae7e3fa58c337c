"""The database in ``DATABASE_URL``."""

import os
from typing import Final
from urllib.parse import unquote

import sqlalchemy as sa

from domain.values import UNSTORABLE

_DRIVERS: Final = {"postgres", "postgresql", "postgresql+psycopg"}


class DatabaseUrlError(ValueError):
    """``DATABASE_URL`` is not the URL of a PostgreSQL database.

    The message says why. It does not contain the URL, which may include a password.
    """


def url_from_environment() -> sa.URL | None:
    """Return ``DATABASE_URL`` with the driver psycopg, or ``None`` if it is not set.

    Raises ``DatabaseUrlError`` if it is not a URL of PostgreSQL in UTF-8.
    """
    text = os.environ.get("DATABASE_URL", "").strip()
    if not text:
        return None
    # libpq would end the connection string at a NUL, and connect to another database.
    if UNSTORABLE.search(unquote(text)):
        raise DatabaseUrlError("DATABASE_URL must be UTF-8 without NUL characters")
    driver = text.partition("://")[0]
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):
        raise DatabaseUrlError("DATABASE_URL is not a URL") from None
    if driver not in _DRIVERS:
        raise DatabaseUrlError("DATABASE_URL must begin with postgresql://")
    return url.set(drivername="postgresql+psycopg")
