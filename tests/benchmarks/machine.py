"""What a figure was measured on, and how fast that can be at best."""

from __future__ import annotations

import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def describe(device: torch.device) -> str:
    """Processor or GPU, threads and versions, in one line."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{_processor()}, {torch.get_num_threads()} threads"
    packages = []
    for package in ("torch", "pyro-ppl", "numpyro", "jax", "lightning"):
        try:
            packages.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"{name}; Python {platform.python_version()}, {', '.join(packages)}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def floor(sizes: list[tuple[int, int]], batches: list[int], device: torch.device) -> float:
    """Milliseconds that the matrix products of one training step take at this machine's best.

    ``sizes`` are (inputs, outputs) of the linear layers, ``batches`` the rows that each takes.
    A linear layer costs three products: forward, and the gradients of weight and of input (the
    latter not for the first layer of the encoder). Each is timed by itself, at its own size.
    """
    total = 0.0
    for number, ((rows, columns), batch) in enumerate(zip(sizes, batches, strict=True)):
        x = torch.randn(batch, rows, device=device)
        w = torch.randn(rows, columns, device=device)
        g = torch.randn(batch, columns, device=device)
        total += _least(lambda x=x, w=w: x @ w)
        total += _least(lambda x=x, g=g: x.t() @ g)
        if number:
            total += _least(lambda w=w, g=g: g @ w.t())
    return total


def _least(product, rounds: int = 200) -> float:
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        product()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return best * 1e3
