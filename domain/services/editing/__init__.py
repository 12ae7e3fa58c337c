"""Editing what a group is about, when it is studied, and how far the student is.

Every method works on single rows in the version that the caller saw, checks the fields by their
one description (the columns of ``domain.models``), and never commits.
"""
