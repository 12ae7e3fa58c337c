"""The rules of the plans that runs keep, retire, make and take back.

The plans before and after each run are those of ``replay``. What is checked is that each run
changed them as it may, that an undo returned to the plans before the run that it took back, and
that the rows of the database are what the whole history has left.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise

from tests.soak.facts import Facts, PlanFact
from tests.soak.history import Kind, Operation, Outcome, digest
from tests.soak.replay import ByHand, Ids, Replay, Step, changes_by_hand, replays
from tests.soak.violation import Rule, Violation

Ends = dict[str, tuple[int | None, str | None]]
"""The run that retired each plan, ``None`` for a change by hand, and the reason."""


def violations(
    operations: list[Operation], facts: Facts, stored: frozenset[str]
) -> Iterator[Violation]:
    """Yield all violations in the runs."""
    by_hand = changes_by_hand(operations, stored)
    found = replays(facts, by_hand)
    marks = _marks(operations, stored)
    for replay in found.values():
        for step in replay.steps:
            yield from _rows(step, facts)
            yield from _changes(step, facts)
            if step.run.is_undo:
                yield from _undo(replay, step, marks)
            else:
                yield from _difference(step, facts)
            yield from _twice(step.run.name, step.after, facts, at_the_end=False)
        yield from _end(replay, by_hand, facts)
    yield from _by_hand(operations, by_hand, facts)
    for one in operations:
        if one.groups[0] in found:
            yield from _answers(one, found[one.groups[0]], by_hand, facts)


def _rows(step: Step, facts: Facts) -> Iterator[Violation]:
    run = step.run
    if missing := [one for one in step.after if one not in facts.by_id]:
        yield Violation(Rule.ROWS, f"{len(missing)} plans of {run.name} are not stored")
    inserted = facts.by_run.get((run.group, run.number), [])
    if {plan.id for plan in inserted} != (frozenset() if run.is_undo else step.made):
        yield Violation(Rule.ROWS, f"{run.name} inserted {len(inserted)} of {len(step.made)} plans")
    if len(run.plan_ids) + len(run.kept_ids) != len(run.live) or step.made != {*run.made_ids}:
        yield Violation(Rule.ROWS, f"the record of {run.name} contradicts the one before")


def _changes(step: Step, facts: Facts) -> Iterator[Violation]:
    run = step.run
    if not step.before | step.after <= facts.by_id.keys():
        return  # the lineages of the missing plans are unknown
    moved = len(_lineages(step.made, facts) & _lineages(step.retired, facts))
    kept = len(step.before & step.after)
    counts = (kept, moved, len(step.made) - moved, len(step.retired) - moved)
    if counts != (run.kept, run.moved, run.new, run.dropped):
        yield Violation(Rule.COUNTS, f"{run.name} changed {counts}")


def _difference(step: Step, facts: Facts) -> Iterator[Violation]:
    """A generation writes only what differs, and a plan of the same range continues a lineage."""
    made, retired = _plans(step.made, facts), _plans(step.retired, facts)
    if same := {plan.place for plan in made} & {plan.place for plan in retired}:
        yield Violation(Rule.DIFFERENCE, f"{len(same)} plans by {step.run.name}")
    lineages = {(plan.range, plan.lineage) for plan in retired}
    continued = Counter(plan.range for plan in made if (plan.range, plan.lineage) in lineages)
    possible = Counter(plan.range for plan in made) & Counter(plan.range for plan in retired)
    if lost := possible - continued:
        yield Violation(Rule.LINEAGE, f"{step.run.name} did not continue {lost.total()}")


def _undo(
    replay: Replay, step: Step, marks: dict[str, list[tuple[int, str]]]
) -> Iterator[Violation]:
    run = step.run
    last = run.number - 1
    redo = replay.takes_back_an_undo(run)
    expected = replay.last_undo(last) if redo else replay.last_run(last)
    if run.undoes != expected or run.undoes is None:
        yield Violation(Rule.UNDO, f"{run.name} took back {run.undoes} instead of {expected}")
        return
    taken = replay.steps[run.undoes - 1]
    if step.after != (step.before - taken.made) | taken.retired:
        yield Violation(Rule.UNDO, f"{run.name} left other plans than before {run.undoes}")
    if changed := taken.made - step.before:
        yield Violation(Rule.UNDO, f"{len(changed)} plans of {run.undoes} had been retired since")
    for plan in taken.made:
        since = [by for seen, by in marks.get(plan, ()) if run.undoes <= seen <= last]
        if since:
            yield Violation(Rule.KEPT, f"{plan} was undone by {run.name} after {since}")


def _twice(when: str, live: Ids, facts: Facts, *, at_the_end: bool) -> Iterator[Violation]:
    """Find lineages and units that two plans had at the same time.

    A mark may have changed the units that a plan had in the meantime, so only plans that were never
    marked are compared before the end.
    """
    plans = _plans(live, facts)
    for lineage, count in Counter(plan.lineage for plan in plans).items():
        if count > 1:
            yield Violation(Rule.LINEAGE, f"{when}: {count} live plans of {lineage}")
    units = sorted(
        (plan.content, plan.first, plan.done_through or plan.last, plan.id)
        for plan in plans
        if plan.kind == "study" and plan.parts == 1 and (at_the_end or plan.version == 1)
    )
    for (content, _, last, one), (other_content, first, _, other) in pairwise(units):
        if content == other_content and first <= last:
            yield Violation(Rule.UNITS, f"{when}: {one} and {other} have unit {first}")


def _end(replay: Replay, by_hand: ByHand, facts: Facts) -> Iterator[Violation]:
    """Compare the rows with what the history has left."""
    ends = _ends(replay, by_hand, facts)
    in_history = {one for step in replay.steps for one in step.before | step.after} | replay.live
    plans = _plans(in_history, facts)
    if wrong := [plan.id for plan in plans if plan.live is not (plan.id in replay.live)]:
        yield Violation(Rule.LIVE, f"{replay.group}: {wrong[:3]}, {len(wrong)} in all")
    for plan in plans:
        expected = ends.get(plan.id, (None, None))
        if not plan.live and plan.id in ends and (plan.retired_in, plan.retired_as) != expected:
            yield Violation(
                Rule.RETIRED,
                f"{plan.id}: {plan.retired_as} in {plan.retired_in} instead of {expected}",
            )
        if not plan.live and plan.state in {"part_done", "done"}:
            yield Violation(Rule.KEPT, f"{plan.id} is {plan.state} and {plan.retired_as}")
    yield from _twice("in the end", replay.live, facts, at_the_end=True)
    undone = replay.undone(len(replay.steps))
    for step in replay.steps:
        if step.run.undone_in != undone[step.run.number]:
            yield Violation(Rule.UNDO, f"{step.run.name} is undone in {step.run.undone_in}")


def _ends(replay: Replay, by_hand: ByHand, facts: Facts) -> Ends:
    ends: Ends = {}
    for number, step in enumerate([*replay.steps, None]):
        for change in by_hand.get((replay.group, number), ()):
            reason = "moved" if change.kind is Kind.MOVE else "missed"
            ends.update(dict.fromkeys(change.retired, (None, reason)))
        if step is None:
            break
        run = step.run
        undone = replay.run(run.undoes) if run.undoes is not None else None
        for plan in _plans(step.retired, facts):
            past = "missed" if plan.date < run.today else "replaced"
            if undone is None:
                ends[plan.id] = run.number, past
            elif undone.is_undo:  # the run that the undo had taken back is in effect again
                ends[plan.id] = undone.undoes, past
            else:
                ends[plan.id] = run.number, "undone"
        for revived in step.made:
            ends.pop(revived, None)
    return ends


def _by_hand(operations: Iterable[Operation], by_hand: ByHand, facts: Facts) -> Iterator[Violation]:
    known = {one for changes in by_hand.values() for change in changes for one in change.retired}
    made = {one for changes in by_hand.values() for change in changes for one in change.made}
    for plan in facts.plans:
        retired = not plan.live and plan.retired_in is None
        if (retired and plan.id not in known) or (plan.sequence is None and plan.id not in made):
            yield Violation(Rule.TRACE, f"no operation retired or made {plan.id} by hand")
    for one in operations:
        if one.kind in {Kind.MISS, Kind.MOVE} and one.outcome is Outcome.DONE:
            old, new = (
                [facts.by_id[plan] for plan in plans if plan in facts.by_id]
                for plans in (one.retired, one.made)
            )
            if len(old) != len(one.retired) or len(new) != len(one.made):
                yield Violation(Rule.LOST, f"{one.id} retired {one.retired} and made {one.made}")
            if any(plan.range != other.range for plan in old for other in new) or _lineages(
                one.made, facts
            ) - _lineages(one.retired, facts):
                yield Violation(Rule.LINEAGE, f"{one.id} changed the units or the lineage")


def _answers(one: Operation, replay: Replay, by_hand: ByHand, facts: Facts) -> Iterator[Violation]:
    if one.kind is Kind.READ and one.outcome is Outcome.DONE:
        yield from _read(one, by_hand, facts)
    seen = one.seen.get(replay.group, [0])[0]
    found = replay.last_undo(seen) if one.kind is Kind.REDO else replay.last_run(seen)
    if one.reason in {"nothing_to_undo", "nothing_to_redo"}:
        if found is not None:
            yield Violation(Rule.REFUSED_UNDO, f"{one.id} could take back {found} after {seen}")
    elif one.reason == "time_occupied":
        retired = _plans(replay.steps[found - 1].retired if found else (), facts)
        plans = _plans(one.in_the_way, facts)
        if not plans or not all(any(_meet(plan, old) for old in retired) for plan in plans):
            yield Violation(Rule.REFUSED_UNDO, f"{one.id}: {one.in_the_way} are not in the way")
    elif one.reason == "plans_changed":
        plans = _plans(one.in_the_way, facts)
        if not plans or any(map(_is_unchanged, plans)):
            yield Violation(Rule.REFUSED_UNDO, f"{one.id}: {one.in_the_way} had not changed")
    if one.outcome in {Outcome.REPEATED, Outcome.UNDONE} and one.key:
        undone = replay.undone(seen)
        answered = [run.number for run in facts.runs if run.key == one.key]
        is_undone = any(undone.get(number) is not None for number in answered)
        if is_undone is not (one.outcome is Outcome.UNDONE):
            yield Violation(Rule.KEY, f"{one.id} was {one.outcome} after {seen}: {answered}")


def _meet(plan: PlanFact, other: PlanFact) -> bool:
    """Whether two plans of a student have a minute in common."""
    same_day = (plan.student, plan.date) == (other.student, other.date)
    return same_day and plan.start < other.end and other.start < plan.end


def _is_unchanged(plan: PlanFact) -> bool:
    """Whether a plan was never marked, and neither made nor retired by hand."""
    return (
        plan.version == 1
        and plan.sequence is not None
        and (plan.live or plan.retired_in is not None)
    )


def _read(read: Operation, by_hand: ByHand, facts: Facts) -> Iterator[Violation]:
    (group,) = read.groups
    run = facts.by_number.get((group, read.number or 0))
    if read.digest != digest(run.live if run else ()):
        yield Violation(Rule.STALE_READ, f"{read.id} saw other plans as of {read.number}")
    changes = by_hand.get((group, read.number or 0), ())
    retired = {one for change in changes for one in change.retired}
    made = {one for change in changes for one in change.made}
    if not (retired >= {*read.gone} and made >= {*read.added}):
        yield Violation(Rule.STALE_READ, f"{read.id} saw plans of several runs with {read.number}")


def _marks(
    operations: Iterable[Operation], stored: frozenset[str]
) -> dict[str, list[tuple[int, str]]]:
    """Return, by plan, the number of the run that each stored mark has seen, and its id."""
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for one in operations:
        if one.shared and one.id in stored and one.seen:
            (group,) = one.groups
            for plan in one.writes:
                found[plan].append((one.seen[group][0], one.id))
    return found


def _plans(ids: Iterable[str], facts: Facts) -> list[PlanFact]:
    return [facts.by_id[one] for one in ids if one in facts.by_id]


def _lineages(ids: Iterable[str], facts: Facts) -> set[str]:
    return {plan.lineage for plan in _plans(ids, facts)}
