"""The scheduling core: a frozen request in, a frozen schedule out.

Pure Python on the standard library alone: no clock, no randomness, no database.
"""

from domain.scheduling.engine import ENGINE_VERSION, schedule
from domain.scheduling.fingerprint import fingerprint
from domain.scheduling.notices import Notice
from domain.scheduling.planning import (
    LEVEL_FACTORS,
    AcademySchedule,
    Block,
    Busy,
    Content,
    Exclusion,
    Factors,
    KeptPlan,
    NonStudyBlock,
    Request,
)
from domain.scheduling.schedule import Quality, Schedule, ScheduledPlan, Unplaced
from domain.scheduling.validation import faults
from domain.scheduling.vocabulary import (
    Allocation,
    BlockKind,
    ContentType,
    Difficulty,
    ExclusionType,
    Level,
    PlanKind,
    UnplacedReason,
)

__all__ = [
    "ENGINE_VERSION",
    "LEVEL_FACTORS",
    "AcademySchedule",
    "Allocation",
    "Block",
    "BlockKind",
    "Busy",
    "Content",
    "ContentType",
    "Difficulty",
    "Exclusion",
    "ExclusionType",
    "Factors",
    "KeptPlan",
    "Level",
    "NonStudyBlock",
    "Notice",
    "PlanKind",
    "Quality",
    "Request",
    "Schedule",
    "ScheduledPlan",
    "Unplaced",
    "UnplacedReason",
    "faults",
    "fingerprint",
    "schedule",
]
