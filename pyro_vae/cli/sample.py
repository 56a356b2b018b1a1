"""``pyro-vae sample RUN``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pyro_vae import plots

from .build import at_least_one
from .errors import UsageError
from .options import add_debug
from .parser import Parser
from .pictures import sample_picture
from .run_argument import add_device, add_run, open_run


def main(words: list[str]) -> None:
    """Draw z from the prior, then x from the likelihood."""
    parser = Parser(
        prog="pyro-vae sample",
        usage="pyro-vae sample RUN [options]",
        description="Draw z from p(z) and x from p(x|z), into a picture or an array.",
    )
    add_run(parser)
    add = parser.add_argument
    add("--n", type=int, default=64, metavar="N", help="how many")
    label = "of this class or cluster, where the program has some"
    add("--label", type=int | None, default=None, metavar="N", help=label)
    add("--mean", type=bool, default=True, help="the mean of p(x|z), or else a draw from it")
    out = "a .png or .npy file (default: samples in the run folder)"
    add("--out", type=str | None, default=None, metavar="FILE", help=out)
    add("--seed", type=int, default=0, metavar="N", help="of the samples")
    add_device(parser)
    add_debug(parser)
    options = parser.parse_args(words)
    at_least_one("n", options.n)
    if options.out is not None and Path(options.out).suffix not in (".png", ".npy"):
        raise UsageError(f"--out {options.out}: a file that ends in .png or .npy is needed")
    folder, built = open_run(options)
    ending = ".npy" if built.image is None else ".png"
    out_file = Path(options.out or folder.path / f"samples{ending}")
    if out_file.suffix == ".png" and built.image is None:
        raise UsageError("these data are no images: give --out FILE.npy")
    view = built.view()
    x = built.family.generate(view, options.n, options.label, options.mean, options.seed)
    out_file.parent.mkdir(parents=True, exist_ok=True)
    if out_file.suffix == ".npy":
        np.save(out_file, x.cpu().numpy())
    else:
        plots.save(sample_picture(x, view, options.mean), out_file)
    print(out_file)
