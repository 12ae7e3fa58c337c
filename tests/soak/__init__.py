"""Long mixed loads with faults, and a checker of their histories that knows nothing of the package.

``python -m tests.soak`` is the long form; the short one is among the tests.
"""
