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

    if name.startswith("NumPyro"):
        import numpyro.infer  # noqa: F401  its own size is not the step's
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
    """The most memory that this process has held so far, in MiB."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux; what the parent held at the fork would count there
        kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return kibibytes / 2**20 if sys.platform == "darwin" else kibibytes / 1024
    return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
