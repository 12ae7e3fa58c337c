"""Requests that overlap for certain; ``domain.testing`` has them for everybody."""

from domain.testing import PATIENCE, Answers, Meeting, contend, contend_async

__all__ = ["PATIENCE", "Answers", "Meeting", "contend", "contend_async"]
