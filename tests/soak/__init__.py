"""Long mixed loads with faults, and a checker of their histories that does not use the package.

``python -m tests.soak`` runs a long load; the test suite contains a short one.
"""
