"""``pyro-vae sample RUN``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from pyro_vae import evaluation, plots

from .folder import RunFolder
from .parser import Parser, UsageError
from .pictures import picture_shape
from .run_argument import add_run


def main(words: list[str]) -> None:
    """Draw z from the prior, then x from the likelihood."""
    parser = Parser(
        prog="pyro-vae sample", description="Draw from p(z) and p(x|z): a picture (.png) or arrays."
    )
    add_run(parser)
    add = parser.add_argument
    add("--n", type=int, default=64, help="how many")
    add("--mean", type=bool, default=True, help="the mean of p(x|z), or else a sample of it")
    add("--out", type=str | None, default=None, help=".png, .npy (default: RUN/samples.png)")
    add("--seed", type=int, default=0, help="of the samples")
    add("--debug", action="store_true", help="show the traceback of an error")
    options = parser.parse_args(words)
    out = Path(options.out or Path(options.run) / "samples.png")
    if out.suffix not in (".png", ".npy"):
        raise UsageError(f"--out {out}: give a file that ends in .png or .npy")
    if options.n < 1:
        raise UsageError(f"--n is at least 1, not {options.n}")
    built = RunFolder(Path(options.run)).open(tuple(options.allow))
    x = evaluation.generate(
        built.vae.model, built.dataset.test, options.n, mean=options.mean, seed=options.seed
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.suffix == ".npy":
        np.save(out, x.cpu().numpy())
    else:
        shape = picture_shape(tuple(x.shape[1:]))
        if shape is None:
            raise UsageError("these data are no images: give --out FILE.npy")
        plots.save(plots.samples(torch.as_tensor(x), shape=shape), out)
    print(out)
