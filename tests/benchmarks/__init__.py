"""Benchmarks: ``python -m tests.benchmarks [NAME …]`` prints ratios measured in one run.

They assert nothing, because the figures depend on the machine.
"""
