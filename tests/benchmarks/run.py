"""``make bench``: the step of one VAE by several hands, side by side in one interleaved run.

Writes tables and two pictures into ``docs/benchmarks.md``. Ratios are what one may quote;
milliseconds are of this machine on this day.
"""

from __future__ import annotations

import argparse
import datetime
import os
import tempfile
from dataclasses import replace

import torch
from setting import Setting

QUICK_ROUNDS = 3


def settings(device: str) -> list[Setting]:
    """What is compared."""
    small = Setting(hidden=(200, 200), latent=50, batch=20, device=device)
    return [
        Setting(device=device),
        small,
        replace(small, batch=100),
        Setting(conv=True, device=device),
        Setting(batch=20, particles=50, device=device),
    ]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=60, help="turns of each contender")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dry", action="store_true", help="print, and write nothing")
    options = parser.parse_args()
    # Kernels that an earlier run has left would hide the seconds of compiling.
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        _run(options)


def _run(options: argparse.Namespace) -> None:
    import alone
    import growth
    import numpyro_contenders
    import pyro
    import report
    import torch_contenders
    from interleave import interleaved
    from machine import describe, floor

    device = torch.device(options.device)
    today = datetime.date.today().isoformat()
    lines = [f"{describe(device)}; {today}. `make bench`, {options.rounds} rounds of 5 steps.", ""]
    results = {}
    for setting in settings(options.device):
        pyro.clear_param_store()
        turns = torch_contenders.contenders(setting) | numpyro_contenders.contenders(setting)
        timings = results[setting.name] = interleaved(turns, options.rounds)
        least = None if setting.conv else floor(setting.layers(), setting.rows(), device)
        lines += report.table(setting.name, timings, next(iter(timings)), least)
        print("\n".join(lines[-len(timings) - 6 :]), flush=True)
    lines += ["### One process each, 784-400-20, batch 128", ""]
    found = {}
    for name in alone.NAMES:
        if name in results[settings(options.device)[0].name]:
            found[name] = alone.measure(name, options.device)
    lines += report.alone_table(found)
    print("\n".join(lines[-len(found) - 3 :]), flush=True)
    grown = growth.growth(settings(options.device)[0], max(options.rounds // 6, QUICK_ROUNDS))
    print(grown)
    if options.dry:
        return
    pictures = report.DOCS / "pictures"
    report.draw_steps(results, pictures / f"steps_{device.type}.png")
    report.draw_growth(grown, pictures / f"growth_{device.type}.png")
    lines += [
        f"![milliseconds a step]({f'pictures/steps_{device.type}.png'})",
        "",
        f"![growth with batch, samples and latent](pictures/growth_{device.type}.png)",
    ]
    print(f"written: {report.write(lines, device.type)}")


if __name__ == "__main__":
    main()
