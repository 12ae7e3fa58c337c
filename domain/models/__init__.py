"""The mapped classes.

Importing this package configures their mappers. By default SQLAlchemy configures mappers when they
are first used. If a signal handler raised an exception at that moment (the soft time limit of a
worker, Ctrl-C), the mappers would remain unusable for all later requests of the process.
"""

import sys

try:
    from domain.models.base import Base
    from domain.models.content import Content, LectureEpisode
    from domain.models.plan import PlanGeneration, PlanState, StudentPlan
    from domain.models.plan_group import GroupStatus, PlanGroup
    from domain.models.study_time import (
        AcademySchedule,
        Block,
        Exclusion,
        NonStudyBlock,
        SpecialDay,
    )
    from domain.scheduling.types import (
        Allocation,
        Balance,
        BlockKind,
        ContentType,
        Difficulty,
        ExclusionType,
        Level,
        PlanKind,
        Strategy,
    )

    # configure_mappers() would also configure the mappers of the application, which may not be
    # complete yet.
    Base.registry.configure()
except BaseException:
    # The import may be repeated, which creates a new Base. The classes of this Base may be only
    # partly mapped, so they are removed from the registry; otherwise a later configure_mappers()
    # would fail because of them.
    if (_base := sys.modules.get(f"{__name__}.base")) is not None:
        _base.Base.registry.dispose()
    raise

__all__ = [
    "AcademySchedule",
    "Allocation",
    "Balance",
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
    "SpecialDay",
    "Strategy",
    "StudentPlan",
]
