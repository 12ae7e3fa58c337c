"""What a generation or a preview came to, fresh or from its record."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

from domain.repositories import PlanningSnapshot
from domain.repositories.plan_rows import PlanView, StoredGeneration, new_views
from domain.repositories.snapshot import ContentLabel
from domain.scheduling.notices import Language, Notice
from domain.scheduling.schedule import Quality, Schedule, ScheduledPlan, Unplaced


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """What a generation or a preview came to.

    ``generation`` and ``plan_ids`` (in the order of ``plans``) are ``None`` and empty for a
    preview. ``contents`` names the contents that ``plans`` and ``unplaced`` refer to by
    position. ``repeated`` tells that the request had been answered before, under its
    idempotency key, and that nothing was generated now; it does not count in comparisons.
    """

    group_id: UUID
    generation: int | None
    plans: tuple[ScheduledPlan, ...]
    plan_ids: tuple[UUID, ...]
    contents: Mapping[int, ContentLabel]
    unplaced: tuple[Unplaced, ...]
    warnings: tuple[Notice, ...]
    quality: Quality
    repeated: bool = field(default=False, compare=False)

    @property
    def content_ids(self) -> dict[int, UUID]:
        """The contents' ids by position."""
        return {position: label.id for position, label in self.contents.items()}

    @property
    def views(self) -> tuple[PlanView, ...]:
        """The plans as a screen shows them, in the form that the repository reads them too.

        As they were written: a repeated result does not show what became of them since.
        """
        return tuple(
            new_views(
                self.plans,
                self.plan_ids,
                group_id=self.group_id,
                generation=self.generation,
                contents=self.contents,
            )
        )

    def warning_messages(self, language: Language = "ko") -> list[str]:
        """The sentences of ``warnings``, in which contents have their titles."""
        titles = {position: label.title for position, label in self.contents.items()}
        return [warning.message(language, titles) for warning in self.warnings]

    @classmethod
    def of(
        cls,
        snapshot: PlanningSnapshot,
        computed: Schedule,
        generation: int | None = None,
        plan_ids: tuple[UUID, ...] = (),
    ) -> Self:
        """The result of a computation over ``snapshot``; a preview has no generation."""
        return cls(
            group_id=snapshot.group_id,
            generation=generation,
            plans=computed.plans,
            plan_ids=plan_ids,
            contents=snapshot.contents,
            unplaced=computed.unplaced,
            warnings=computed.warnings,
            quality=computed.quality,
        )

    @classmethod
    def again(cls, stored: StoredGeneration) -> Self:
        """The result of a generation that was stored before."""
        return cls(
            group_id=stored.group_id,
            generation=stored.number,
            plans=stored.schedule.plans,
            plan_ids=stored.plan_ids,
            contents=stored.contents,
            unplaced=stored.schedule.unplaced,
            warnings=stored.schedule.warnings,
            quality=stored.schedule.quality,
            repeated=True,
        )
