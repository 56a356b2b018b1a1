"""The options that say what is trained: data, parts, objective, optimisation."""

from __future__ import annotations

from typing import Any

from jsonargparse import Namespace

from pyro_vae.likelihoods import Likelihood
from pyro_vae.networks import Network
from pyro_vae.objectives import Objective
from pyro_vae.posteriors import Posterior
from pyro_vae.priors import Prior

from .parser import PROVIDED, Parser

#: Option, base class, default, help.
PARTS: dict[str, tuple[type, str | None, str]] = {
    "prior": (Prior, "StandardNormal", "p(z)"),
    "likelihood": (Likelihood, None, "p(x|z) (default: Bernoulli for pixels, Normal for reals)"),
    "posterior": (Posterior, "DiagonalNormal", "q(z|x)"),
    "encoder": (Network, "MLP", "the posterior's network"),
    "decoder": (Network, "MLP", "the likelihood's network"),
    "objective": (Objective, "ELBO", "the bound"),
}


def training_parser() -> Parser:
    """The parser of ``train``; its output is what a run folder keeps as ``config.yaml``."""
    parser = Parser(
        prog="pyro-vae train",
        description="Train a VAE: theta and phi together, by maximising a bound on log p(x).",
        epilog="Options of a part: --prior.help StandardNormal, --likelihood.help Normal, ...",
    )
    add = parser.add_argument
    parser.add_argument("--config", action="config", help="a YAML file with any of these options")
    add("--data", type=str, default="digits", help="a data set's name, or a .npy, .npz, .csv file")
    add("--limit", type=int | None, default=None, help="use the first examples of each split only")
    add("--latent", type=int, default=32, help="number of latent dimensions, for all parts")
    for name, (base, default, text) in PARTS.items():
        options: dict[str, Any] = {} if default is None else {"default": class_path(base, default)}
        parser.add_subclass_arguments(
            base, name, skip=set(PROVIDED), instantiate=False, help=text, metavar="CLASS", **options
        )
    add("--epochs", type=int, default=60, help="passes over the data")
    add("--batch_size", type=int, default=128, help="examples in a mini-batch")
    add("--lr", type=float, default=2e-3, help="learning rate of theta (and phi)")
    add("--lr_guide", type=float | None, default=None, help="learning rate of phi, if different")
    add("--schedule", type=str, default="cosine", help="cosine, linear or constant learning rate")
    add("--clip_norm", type=float | None, default=None, help="greatest norm of the gradient")
    add("--patience", type=int | None, default=None, help="epochs without better validation ELBO")
    add("--seed", type=int, default=0, help="of initial weights, order of data and samples")
    add("--device", type=str, default="auto", help="auto, cpu, cuda, cuda:1, ...")
    add("--particles", type=int, default=1000, help="importance samples of the final NLL")
    return parser


def class_path(base: type, name: str) -> dict[str, str]:
    """A default part: ``{"class_path": ...}``, by the package that exports it."""
    return {"class_path": f"{base.__module__.rsplit('.', 1)[0]}.{name}"}


def add_run_options(parser: Parser) -> None:
    """Options of one call that are not part of the run: where to, how loud."""
    add = parser.add_argument
    add("--out", type=str | None, default=None, help="run folder (default: runs/NAME of the data)")
    add("--overwrite", action="store_true", help="replace a run that the folder holds")
    add("--pictures", type=bool, default=True, help="draw pictures when done")
    add("--tensorboard", action="store_true", help="write TensorBoard events into the folder")
    add_output_options(parser)


def add_output_options(parser: Parser) -> None:
    """Options that every command which reports has."""
    add = parser.add_argument
    add("--json", action="store_true", help="end with one JSON object on stdout, and no bar")
    add("--debug", action="store_true", help="show the traceback of an error")


CALL_OPTIONS = ("config", "out", "overwrite", "pictures", "tensorboard", "json", "debug")


def as_config(options: Namespace) -> dict[str, Any]:
    """The options that make the run, as plain data."""
    plain: dict[str, Any] = options.as_dict()
    return {k: v for k, v in plain.items() if k not in CALL_OPTIONS and not k.startswith("__")}
