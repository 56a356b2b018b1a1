"""``make bench``: the step of one VAE by several hands, side by side in one interleaved run.

Prints a Markdown table: the least and the median milliseconds of a step, the seconds of the first
(compilation included), and the ratio of the least to stock Pyro's. The ratio is what one may
quote; milliseconds are of this machine on this day.
"""

from __future__ import annotations

import argparse

import numpyro_contenders
import pyro
import torch
import torch_contenders
from interleave import interleaved
from machine import describe, floor
from torch_contenders import Setting

REFERENCE = "Pyro SVI, Trace_ELBO"


def table(setting: Setting, rounds: int) -> list[str]:
    """The Markdown lines of one setting."""
    pyro.clear_param_store()
    contenders = torch_contenders.contenders(setting)
    if setting.device == "cpu":
        contenders |= numpyro_contenders.contenders(setting)
    timings = interleaved(contenders, rounds)
    scans = {name: int(name.rsplit(" ", 1)[1]) for name in timings if "scan" in name}
    reference = timings[REFERENCE].least
    least = floor(setting.layers(), setting.batch, torch.device(setting.device))
    lines = [
        f"### {setting.name}",
        "",
        "| step | least, ms | median, ms | ÷ stock Pyro | first step, s |",
        "|---|---|---|---|---|",
    ]
    for name, timing in timings.items():
        steps = scans.get(name, 1)
        lines.append(
            f"| {name} | {timing.least / steps:.2f} | {timing.median / steps:.2f} "
            f"| {timing.least / steps / reference:.2f} | {timing.first:.1f} |"
        )
    lines.append(f"| the matrix products alone | {least:.2f} | | {least / reference:.2f} | |")
    return [*lines, ""]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="turns of each contender")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    settings = [
        Setting(device=options.device),
        Setting(hidden=(200, 200), latent=50, batch=20, device=options.device),
        Setting(hidden=(200, 200), latent=50, batch=100, device=options.device),
    ]
    print(f"On {describe(torch.device(options.device))}.\n")
    for setting in settings:
        print("\n".join(table(setting, options.rounds)), flush=True)


if __name__ == "__main__":
    main()
