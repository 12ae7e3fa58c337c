"""Services that edit groups and contents, study time, and the progress of plans.

Each method edits a single row in the version that the caller has read (``reorder_contents`` edits
several), validates fields as ``domain.models.fields`` describes, and never commits.
"""
