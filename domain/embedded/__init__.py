"""A temporary PostgreSQL server, for tests and demos.

Requires the extra ``embedded``, or PostgreSQL binaries that are passed to it. Runs on Linux and
macOS. Windows is not supported, because it lacks the sockets and signals that are used. Without
``/proc``, which macOS does not have, the watcher cannot verify a process id before it sends a
signal to it.
"""

from domain.embedded.server import EmbeddedServer, embedded_postgres

__all__ = ["EmbeddedServer", "embedded_postgres"]
