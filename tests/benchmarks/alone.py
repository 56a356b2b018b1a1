"""One contender in a process of its own: its memory, and the seconds until it runs.

``python alone.py NAME`` prints one line of JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

NAMES = (
    "Pyro SVI, Trace_ELBO",
    "PyTorch by hand",
    "PyTorch by hand, torch.compile",
    "CompiledSVI, Trace_ELBO",
    "NumPyro, jit",
)


def measure(name: str, device: str) -> dict[str, float]:
    """Run this file for one contender."""
    command = [sys.executable, str(Path(__file__).resolve()), name, device]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main(name: str, device: str) -> None:
    """Build the contender, take some steps, and print what that took."""
    import by_hand
    import numpyro_contenders
    import torch
    from interleave import looped
    from pyro.infer import Trace_ELBO
    from setting import Setting
    from torch_contenders import svi

    from pyro_vae.training import CompiledSVI

    setting = Setting(device=device)
    before = _resident()
    began = time.perf_counter()
    if name.startswith("NumPyro"):
        turn = numpyro_contenders.contenders(setting)[name]
    elif name.startswith("Pyro SVI"):
        turn = looped(svi(setting, Trace_ELBO()))
    elif name.startswith("CompiledSVI"):
        turn = looped(svi(setting, Trace_ELBO(), CompiledSVI))
    else:
        turn = looped(by_hand.step(setting, compiled="compile" in name))
    turn(1)
    first = time.perf_counter() - began
    turn(1)
    ready = time.perf_counter() - began
    turn(20)
    peak = _resident() - before
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    print(json.dumps({"first": first, "ready": ready, "mebibytes": peak}))


def _resident() -> float:
    """The most memory so far, in MiB."""
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes / 1024 if sys.platform == "linux" else kibibytes / 2**20


if __name__ == "__main__":
    main(*sys.argv[1:])
