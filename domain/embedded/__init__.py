"""A throwaway PostgreSQL server, for tests and for a first look.

Needs the extra ``embedded``, or PostgreSQL binaries of your own. Linux and, as far as a
system without ``/proc`` allows, macOS; Windows has neither the sockets nor the signals.
"""

from domain.embedded.server import EmbeddedServer, embedded_postgres

__all__ = ["EmbeddedServer", "embedded_postgres"]
