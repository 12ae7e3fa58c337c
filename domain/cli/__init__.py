"""The command line: reads plan group documents and prints their plans as timetables.

This package needs the extra ``cli``; only ``main`` and ``database`` do not, so that ``--help``
and ``upgrade`` work in every installation.
"""
