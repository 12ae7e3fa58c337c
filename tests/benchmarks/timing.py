"""Medians of interleaved runs: on a noisy machine only what ran side by side compares."""

import time
from collections.abc import Callable, Mapping
from statistics import median


def medians(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds of each contestant, run in turn ``rounds`` times after two unmeasured ones."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 2):
        for name, run in contestants.items():
            begun = time.perf_counter()
            run()
            if number >= 2:
                times[name].append(time.perf_counter() - begun)
    return {name: median(own) for name, own in times.items()}


def line(what: str, figure: str, goal: str = "") -> None:
    """One line of the report."""
    print(f"  {what:<58} {figure:>12}   {goal}", flush=True)
