"""The suites on every supported PostgreSQL: ``python -m tests.versions [--short] [VERSION …]``.

Agreement is more than three times "passed": the tests that passed must be the same ones, and
the worked example must become the same rows.
"""
