"""Timing that survives a noisy machine: everybody takes a turn, and the best turn counts."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    """Milliseconds a step: the least of all turns, and their median."""

    least: float
    median: float
    first: float


def interleaved(
    contenders: Mapping[str, Callable[[], object]], rounds: int, repeat: int = 5, warm: int = 8
) -> dict[str, Timing]:
    """Run every contender in turn, ``repeat`` steps a turn, ``rounds`` turns each.

    A machine that others use slows down for stretches: by taking turns all contenders meet the
    same stretches, and the least time is the one that the machine did not disturb. ``first`` is
    the seconds of the first step, compilation included.
    """
    first = {}
    for name, step in contenders.items():
        began = time.perf_counter()
        step()
        _wait()
        first[name] = time.perf_counter() - began
        for _ in range(warm):
            step()
        _wait()
    turns: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, step in contenders.items():
            began = time.perf_counter()
            for _ in range(repeat):
                step()
            _wait()
            turns[name].append((time.perf_counter() - began) * 1e3 / repeat)
    return {
        name: Timing(min(times), statistics.median(times), first[name])
        for name, times in turns.items()
    }


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
