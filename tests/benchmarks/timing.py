"""Medians of interleaved runs: on a noisy machine, only alternating runs are comparable."""

import time
from collections.abc import Callable, Mapping
from statistics import median


def medians(contestants: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each contestant.

    The contestants alternate for ``rounds`` rounds, after two rounds that are not measured.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds + 2):
        for name, run in contestants.items():
            started = time.perf_counter()
            run()
            if number >= 2:
                times[name].append(time.perf_counter() - started)
    return {name: median(durations) for name, durations in times.items()}


def line(label: str, figure: str, goal: str = "") -> None:
    """Print one line of the report."""
    print(f"  {label:<58} {figure:>12}   {goal}", flush=True)
