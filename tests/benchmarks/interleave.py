"""Timing that survives a noisy machine: everybody takes a turn, and the best turn counts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

#: Runs that many steps and gives the seconds of one.
Turn = Callable[[int], float]


@dataclass(frozen=True)
class Timing:
    """Milliseconds a step: the least of all turns, and their median.

    ``first`` is the seconds until the step is as fast as it gets: first steps, compilation.
    """

    least: float
    median: float
    first: float


def looped(step: Callable[[], object]) -> Turn:
    """A contender that is one step."""

    def turn(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            step()
        wait()
        return (time.perf_counter() - began) / steps

    return turn


def timed_by_itself(run: Callable[[], float]) -> Turn:
    """A contender that decides how many steps it takes, and gives the seconds of one."""
    return lambda _steps: run()


def interleaved(
    contenders: Mapping[str, Turn], rounds: int, repeat: int = 5, warm: int = 8
) -> dict[str, Timing]:
    """Run every contender in turn, ``repeat`` steps a turn, ``rounds`` turns each.

    A machine that others use slows down for stretches: by taking turns all contenders meet the
    same stretches, and the least time is the one that the machine did not disturb.
    """
    first = {}
    for name, turn in contenders.items():
        began = time.perf_counter()
        turn(2)  # the second step of some is the one that compiles
        first[name] = time.perf_counter() - began
        turn(warm)
    turns: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, turn in contenders.items():
            turns[name].append(turn(repeat) * 1e3)
    return {
        name: Timing(min(times), statistics.median(times), first[name])
        for name, times in turns.items()
    }


def wait() -> None:
    """Until the device has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
