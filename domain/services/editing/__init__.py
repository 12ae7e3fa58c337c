"""Services that edit groups and contents, study time, and the progress of plans.

Methods that edit or remove rows expect the version that the caller has read. They validate fields
as ``domain.models.fields`` describes, and never commit.
"""
