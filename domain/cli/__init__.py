"""The command line: reads plan group documents, and draws their plans as timetables.

The room that needs the extra ``cli``; only ``main`` and ``database`` do without it, so that
``--help`` and ``upgrade`` work in every installation.
"""
