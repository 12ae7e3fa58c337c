"""The mapped classes.

Importing the package configures their mappers. SQLAlchemy would do so at the first use, and
an exception out of a signal's handler at that moment (a worker's soft time limit, Ctrl-C)
would leave mappers that no later request of the process can use.
"""

import sys

try:
    from domain.models.base import Base
    from domain.models.content import Content, LectureEpisode
    from domain.models.plan import PlanGeneration, PlanState, StudentPlan
    from domain.models.plan_group import GroupStatus, PlanGroup
    from domain.models.study_time import AcademySchedule, Block, Exclusion, NonStudyBlock
    from domain.scheduling.vocabulary import (
        Allocation,
        BlockKind,
        ContentType,
        Difficulty,
        ExclusionType,
        Level,
        PlanKind,
    )

    # Not configure_mappers(): that would configure the application's mappers too, which may
    # not be complete yet.
    Base.registry.configure()
except BaseException:
    # The import may be repeated, with a new Base. What this one has mapped must be out of
    # configure_mappers()'s sight then, for it may be half mapped.
    if (_base := sys.modules.get(f"{__name__}.base")) is not None:
        _base.Base.registry.dispose()
    raise

__all__ = [
    "AcademySchedule",
    "Allocation",
    "Base",
    "Block",
    "BlockKind",
    "Content",
    "ContentType",
    "Difficulty",
    "Exclusion",
    "ExclusionType",
    "GroupStatus",
    "LectureEpisode",
    "Level",
    "NonStudyBlock",
    "PlanGeneration",
    "PlanGroup",
    "PlanKind",
    "PlanState",
    "StudentPlan",
]
