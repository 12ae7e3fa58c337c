"""Run the suites on all versions: ``python -m tests.versions [--short] [VERSION …]``.

The versions agree if the same tests passed on all of them, and if all of them store the same rows
for the worked example. It is not enough that no test failed.
"""
