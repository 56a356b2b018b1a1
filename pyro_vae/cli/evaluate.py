"""``pyro-vae evaluate RUN``."""

from __future__ import annotations

import json
from pathlib import Path

from pyro_vae import evaluation

from .folder import RunFolder
from .options import add_output_options
from .parser import Parser
from .run_argument import add_run
from .show import report_lines


def main(words: list[str]) -> None:
    """Print what a run is worth on its test data."""
    parser = Parser(
        prog="pyro-vae evaluate",
        description="ELBO, reconstruction, KL and importance-weighted NLL, in nats per example.",
    )
    add_run(parser)
    add = parser.add_argument
    add("--particles", type=int, default=5000, help="importance samples for each example")
    add("--split", type=str, default="test", help="train, valid or test")
    add("--limit", type=int | None, default=None, help="the first examples only")
    add("--seed", type=int, default=0, help="of the samples")
    add_output_options(parser)
    options = parser.parse_args(words)
    built = RunFolder(Path(options.run)).open(tuple(options.allow))
    x = built.split(options.split)[: options.limit]
    report = evaluation.evaluate(
        built.vae.model, built.vae.guide, x, particles=options.particles, seed=options.seed
    )
    if options.json:
        print(json.dumps(report.to_dict()))
    else:
        print("\n".join(report_lines(report, f"{built.dataset.name} {options.split}")))
