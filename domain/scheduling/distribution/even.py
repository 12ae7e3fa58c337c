"""The strategy ``even``: every content is spread evenly over its own days.

The even deal is used if every day can place its units uncut in study time, which costs one pass.
Otherwise the contents are dealt one after another, each as near to its even deal as possible in
the time that is not set aside for the others. Time is opened in stages, and each stage only if
otherwise something would be unplaced: study time of own days, then their reserve; then the same
with units cut; then the reserve of days without study time, at first with whole units. If not
everything can be placed, the time that remains is given to what is unplaced. At last units leave
the reserve for study time that is still idle.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from domain.scheduling.demand import Demand, Problem
from domain.scheduling.distribution.deal import (
    NEVER,
    Deal,
    Distribution,
    Share,
    place_all_units,
    shares_by_day,
)
from domain.scheduling.distribution.in_turn import Effort, Improvement, deal_in_turn
from domain.scheduling.distribution.relief import Relief
from domain.scheduling.distribution.settled import (
    ledger_in,
    pack_changed,
    sessions_of,
    used_reserve,
)
from domain.scheduling.feasibility import DaySets, placeable
from domain.scheduling.placement import Room, pack_in_turn
from domain.scheduling.rounding import even_deal
from domain.scheduling.spans import total
from domain.scheduling.splitting import SHORTEST_DIVISIBLE

MAX_EFFORT: Final = 80_000


def distribute(problem: Problem) -> Distribution:
    """Deal as many units of each demand as possible."""
    deals, *_ = deal_all(problem.demands, problem.rooms)
    if any(deal.reserve for deal in deals):
        _fill_study_time(deals, problem.rooms)
    return Distribution(problem, deals)


def places_all(problem: Problem, effort: Effort) -> bool:
    """Whether a way to place everything was found, with all time open from the beginning."""
    return place_at_last(problem.demands, problem.rooms, effort) is not None


def deal_all(
    demands: Sequence[Demand], rooms: Mapping[int, Room], others: Sequence[Demand] = ()
) -> list[list[Deal]]:
    """Deal as many units of each demand as possible; the deals are in the order of the demands.

    There are two ways if the demands have least units, which cost more (``place_all``). If the even
    deal fits, the deals have no ``runs``.

    :param others: the same demands with other minutes wanted, which are dealt if these cannot all
        be placed.
    """
    effort = Effort(MAX_EFFORT)
    if ways := place_all(demands, rooms, effort):
        return ways
    deals = None
    if others or not effort.remains:
        # What a trial (``places_all``) finds, a distribution must find, too.
        deals = place_at_last(others or demands, rooms, Effort(MAX_EFFORT))
    return [deals or _shared(demands, rooms, effort)]


def place_at_last(
    demands: Sequence[Demand], rooms: Mapping[int, Room], effort: Effort
) -> list[Deal] | None:
    """Deal all units in all time there is, cut where that helps, or return ``None``.

    It places more for its effort than ``place_all``, but may use reserve and cuts needlessly.
    """
    stage = _stages(demands, rooms)[-1][-1].without_least()
    if not effort.require_two_deals(stage.demands, rooms) or not stage.holds_minutes():
        return None
    return stage.place(SHORTEST_DIVISIBLE, effort)


def _shared(demands: Sequence[Demand], rooms: Mapping[int, Room], effort: Effort) -> list[Deal]:
    """Deal as many units of each demand as its share of the time allows."""
    stage = _stages(demands, rooms)[-1][-1].without_least()
    counts = placeable(stage.demands, rooms)
    limited = [demand.limited(count) for demand, count in zip(stage.demands, counts, strict=True)]
    deals, *_ = stage.dealt(SHORTEST_DIVISIBLE, limited, effort, orders=2)
    stage.improvement(SHORTEST_DIVISIBLE, limited, effort).improve(deals)
    return deals


def fill_up(deals: list[Deal], demands: Sequence[Demand], rooms: Mapping[int, Room]) -> None:
    """Place units that had no room before other deals were changed, as far as there is room now."""
    stage = _stages(demands, rooms)[-1][-1]
    effort = Effort(MAX_EFFORT)
    stage.improvement(SHORTEST_DIVISIBLE, stage.demands, effort).fill_up(deals)


def _fill_study_time(deals: Sequence[Deal], rooms: Mapping[int, Room]) -> None:
    """Move units out of the reserve to study time of other days that is still idle.

    Dealing a content again changes its days together, and may leave a unit in the reserve that
    study time of another day could hold.
    """
    contents = [sessions_of(deal, shortest=0) for deal in deals]
    weights = {day: max(1, room.minutes) for day, room in rooms.items()}
    ledger = ledger_in(rooms, contents, weights, base={}, levels={})
    ledger.start_with(used_reserve(deals))
    Relief(ledger, effort=0).fill_study_time()  # which has an effort of its own
    pack_changed(ledger, deals, rooms)


def costs(deals: Sequence[Deal]) -> tuple[int, int]:
    """Return what deals use that others may do without: minutes of reserve, and cuts."""
    return sum(deal.reserve for deal in deals), sum(deal.cuts for deal in deals)


def place_all(
    demands: Sequence[Demand], rooms: Mapping[int, Room], effort: Effort
) -> list[list[Deal]]:
    """Return ways to deal all units of each demand; none if no way to place them was found.

    The first one has the least units of each day if these leave a way. There is a second one if it
    needs less reserve or fewer cuts without them, as far as that is known before it is smoothed.
    """
    deals = [_even(demand) for demand in demands]
    is_even = all(demand.wanted is None for demand in demands)
    if (
        is_even
        and all(demand.days or not demand.units for demand in demands)
        and all(
            _fits_study(day_shares, rooms[day]) for day, day_shares in shares_by_day(deals).items()
        )
    ):
        return [deals]
    effort_with_least = Effort(effort.left)
    attempts = _attempts(demands, rooms, effort)
    found = (stage.ways(shortest, effort, effort_with_least) for stage, shortest in attempts)
    return next(filter(None, found), [])


def _attempts(
    demands: Sequence[Demand], rooms: Mapping[int, Room], effort: Effort
) -> Iterator[tuple["_Stage", int]]:
    """Yield the stages that may hold everything, each with the length from which units are cut.

    Units are cut if own days cannot hold them otherwise, before spare days are opened. A stage is
    only tried if the effort suffices to deal its demands twice.
    """
    for stages in _stages(demands, rooms):
        for shortest in (NEVER, SHORTEST_DIVISIBLE):
            for stage in stages:
                if not effort.require_two_deals(stage.demands, rooms):
                    return
                if stage.holds_minutes() and (shortest < NEVER or stage.may_hold_uncut()):
                    yield stage, shortest


@dataclass(frozen=True, slots=True)
class _Stage:
    """Demands and rooms as they are in one stage: with the days and the time that are open."""

    demands: Sequence[Demand]
    rooms: Mapping[int, Room]

    def holds_minutes(self) -> bool:
        """Whether the minutes of all demands fit into their open days."""
        day_sets = DaySets.among(self.demands)
        held = day_sets.held(lambda day: self.rooms[day].minutes)
        return day_sets.fits([demand.prefix[-1] for demand in self.demands], held)

    def may_hold_uncut(self) -> bool:
        """Whether each content has a span that holds its longest unit, or may be cut."""
        divisible = self._divisible(NEVER)
        return all(
            demand.longest >= shortest
            or demand.longest
            <= max((max(self.rooms[day].lengths(), default=0) for day in demand.own), default=0)
            for demand, shortest in zip(self.demands, divisible, strict=True)
        )

    def without_least(self) -> "_Stage":
        """Return the same stage with demands that want no least units on any day."""
        return replace(self, demands=[replace(demand, least={}) for demand in self.demands])

    def ways(self, shortest: int, effort: Effort, effort_with_least: Effort) -> list[list[Deal]]:
        """Return the ways of this stage (``place_all``)."""
        found = None
        if any(demand.least for demand in self.demands) and effort_with_least.remains:
            found = self.place(shortest, effort_with_least)
        if found and costs(found) == (0, 0):
            return [found]
        other = self.without_least().place(shortest, effort)
        if found and other and costs(other) >= costs(found):
            other = None
        return [deals for deals in (found, other) if deals]

    def place(self, shortest: int, effort: Effort) -> list[Deal] | None:
        """Return the deals of the demands, or ``None`` if they do not place all units.

        If the best deals do not do so when they are improved, the second best ones are improved.
        """
        # A third order seldom places what the second one does not.
        for deals in self.dealt(shortest, self.demands, effort, orders=1):
            self.improvement(shortest, self.demands, effort).improve(deals)
            if place_all_units(deals, self.demands):
                return deals
        return None

    def dealt(
        self, shortest: int, first: Sequence[Demand], effort: Effort, orders: int
    ) -> list[list[Deal]]:
        """Return deals of ``first``, the best ones first, for at most so many other orders.

        Units of at least ``shortest`` minutes may be cut, and a unit that is longer than each of
        its days may always be.
        """
        return deal_in_turn(first, self.rooms, self._divisible(shortest), effort, orders)

    def improvement(self, shortest: int, first: Sequence[Demand], effort: Effort) -> Improvement:
        """Return the search for better deals, by which no content loses units of ``first``."""
        return Improvement(
            demands=self.demands,
            shares=[len(demand.units) for demand in first],
            rooms=self.rooms,
            divisible=self._divisible(shortest),
            effort=effort,
        )

    def _divisible(self, shortest: int) -> list[int]:
        """Return the length from which units may be cut, per demand."""
        minutes = {day: room.minutes for day, room in self.rooms.items()}
        longest_days = (
            max((minutes[day] for day in demand.own), default=0) for demand in self.demands
        )
        return [min(shortest, max(SHORTEST_DIVISIBLE, day + 1)) for day in longest_days]


def _stages(demands: Sequence[Demand], rooms: Mapping[int, Room]) -> list[list[_Stage]]:
    """Return the stages of own days, and those with spare days if there are any."""
    study = {day: Room(room.study, ()) for day, room in rooms.items()}
    own = [_Stage([replace(demand, reserve_days=[]) for demand in demands], study)]
    if any(rooms[day].reserve for demand in demands for day in demand.own):
        own.append(_Stage(demands, rooms))
    if not any(demand.spare_days for demand in demands):
        return [own]
    return [own, [_Stage([demand.with_spare_days() for demand in demands], rooms)]]


def _even(demand: Demand) -> Deal:
    counts = even_deal(len(demand.units), len(demand.days)) if demand.days else []
    return Deal(demand, demand.units, demand.prefix, demand.days, counts)


def _fits_study(shares: Sequence[Share], room: Room) -> bool:
    spare = total(room.study) - sum(share.minutes for share in shares)
    # Packing keeps units whole, so each span wastes less than the length of one unit. If the
    # spare time is at least one longest unit per span, everything fits and no trial is needed.
    if spare < 0 or len(room.study) == 1:
        return spare >= 0
    if spare >= len(room.study) * max(share.deal.demand.longest for share in shares):
        return True
    parcels = ((share.deal.prefix, share.items, 0) for share in shares)
    return pack_in_turn(parcels, Room(room.study, ())) is not None
