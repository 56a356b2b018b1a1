"""``pyro-vae evaluate RUN``."""

from __future__ import annotations

import json
from typing import Literal

from .build import at_least_one
from .options import add_output_options
from .parser import Parser
from .run_argument import add_device, add_run, open_run
from .show import report_on


def main(words: list[str]) -> None:
    """Print what a run is worth on its test data."""
    parser = Parser(
        prog="pyro-vae evaluate",
        usage="pyro-vae evaluate RUN [options]",
        description="ELBO, reconstruction, KL and importance-weighted NLL, in nats per example.",
    )
    add_run(parser)
    add = parser.add_argument
    particles = "importance samples for each example"
    add("--particles", type=int, default=5000, metavar="N", help=particles)
    split = Literal["train", "valid", "test"]
    add("--split", type=split, default="test", metavar="NAME", help="train, valid or test")
    add(
        "--limit",
        type=int | None,
        default=None,
        metavar="N",
        help="only N examples, drawn at random",
    )
    add("--seed", type=int, default=0, metavar="N", help="of the samples")
    add_device(parser)
    add_output_options(parser)
    options = parser.parse_args(words)
    at_least_one("particles", options.particles)
    at_least_one("limit", options.limit)
    _, built = open_run(options)
    some = options.limit is not None  # not the first: some sets are sorted by class
    view = built.view(options.split, options.limit, options.seed, shuffled=some)
    report = report_on(built.family, view, options.particles, options.seed)
    if options.json:
        print(json.dumps(report.to_dict()))
    else:
        print("\n".join(report.lines(f"{built.dataset.name} {options.split}")))
