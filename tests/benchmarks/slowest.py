"""Searches for the slowest request within the limits of a group.

The search starts from random recipes, and keeps changing the slowest ones. Each request is planned
in a process of its own, so that its peak memory is known and a slow one can be stopped.
"""

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from domain.errors import DomainError
from domain.scheduling.schedule import schedule
from domain.scheduling.validation import field_errors
from tests.benchmarks.extremes import Recipe, anything, build, changed, described

PARENTS: Final = 8
"""How many of the slowest recipes are changed."""
ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Finding:
    """A recipe with the seconds and the growth in MiB of planning it, and its outcome."""

    recipe: Recipe
    seconds: float
    mebibytes: float
    outcome: str


def measure(recipe: Recipe, limit: float) -> Finding:
    """Plan the request of a recipe in a new process, for at most ``limit`` seconds."""
    command = [sys.executable, "-m", "tests.benchmarks.slowest", json.dumps(asdict(recipe))]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            command, cwd=ROOT, capture_output=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return Finding(recipe, limit, 0, f"stopped after {limit:.0f} s")
    if done.returncode:
        message = done.stderr.decode().strip().splitlines()[-1:] or [f"exit {done.returncode}"]
        return Finding(recipe, 0, 0, f"FAILED: {message[0]}")
    found = json.loads(done.stdout)
    return Finding(recipe, found["seconds"], found["mebibytes"], found["outcome"])


def _peak() -> int:
    """Return the peak memory of this process in KiB.

    On Linux, ``ru_maxrss`` includes that of the parent process before it started this program.
    """
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text("ascii")) if status.exists() else None
    return int(found[1]) if found else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure_here(recipe: Recipe) -> dict[str, Any]:
    """Plan the request of a recipe in this process.

    The memory is the growth of the peak since the import, and contains the request.
    """
    before = _peak()
    request = build(recipe)
    if errors := field_errors(request):
        raise AssertionError(f"the search builds valid requests only: {errors[0]}")
    started = time.perf_counter()
    try:
        result = schedule(request)
        outcome = f"{len(result.plans)} rows, {len(result.unplaced)} unplaced ranges"
    except DomainError as error:
        outcome = f"refused: {error.code}"
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "mebibytes": (_peak() - before) / 1024, "outcome": outcome}


def search(
    seconds: float, limit: float, seed: int, report: Callable[[Finding], None]
) -> list[Finding]:
    """Return the findings, slowest first; ``report`` is called for each one that is the slowest."""
    chance = random.Random(seed)  # noqa: S311 - the search must be repeatable
    stop = time.monotonic() + seconds
    found = [measure(Recipe(self_study_spans=24), limit)]
    report(found[0])
    while (left := stop - time.monotonic()) > 1:
        parent = chance.choice(found[:PARENTS]).recipe
        recipe = anything(chance) if chance.random() < 0.3 else changed(parent, chance)
        finding = measure(recipe, min(left, limit))
        if finding.seconds > found[0].seconds or finding.outcome.startswith("FAILED"):
            report(finding)
        found.append(finding)
        found.sort(key=lambda one: -one.seconds)
    return found


def line(finding: Finding) -> str:
    """Return a finding in one line, with the numbers of its recipe that are not the default."""
    default = Recipe()
    numbers = ", ".join(
        f"{field.name} {getattr(finding.recipe, field.name)}"
        for field in fields(Recipe)
        if getattr(finding.recipe, field.name) != getattr(default, field.name)
    )
    return f"{finding.seconds:8.2f} s {finding.mebibytes:7.0f} MiB  {finding.outcome}; {numbers}"


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks slowest", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300, help="duration of the search (300)")
    parser.add_argument("--limit", type=float, default=60, help="seconds for one request (60)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the search (1)")
    options = parser.parse_args(arguments)
    found = search(
        options.seconds, options.limit, options.seed, lambda one: print(line(one), flush=True)
    )
    print("\nslowest")
    for one in found[:PARENTS]:
        print(line(one))
    print("\nmost memory")
    print(line(max(found, key=lambda one: one.mebibytes)))
    print(f"\nrecipe {json.dumps(asdict(found[0].recipe))}")
    for name, value in described(build(found[0].recipe)).items():
        print(f"{name}: {json.dumps(value, ensure_ascii=False)}")


if __name__ == "__main__":
    print(json.dumps(measure_here(Recipe(**json.loads(sys.argv[1])))))
