"""The command line: reads plan group documents and prints their plans as timetables.

This package needs the extra ``cli``, except for its modules ``main`` and ``database``: ``--help``
and ``upgrade`` work in every installation.
"""
