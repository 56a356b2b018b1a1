"""The options that say what is trained: data, parts, objective, optimisation."""

from __future__ import annotations

from argparse import SUPPRESS
from typing import Any, Literal

from jsonargparse import Namespace

from .assemble import LATENT
from .parser import CALL_OPTIONS, Parser
from .parts import PROVIDED, SLOTS, default_part, import_path, known_parts


def training_parser() -> Parser:
    """The parser of ``train``; its output is what a run folder keeps as ``config.yaml``."""
    parser = Parser(
        prog="pyro-vae train",
        usage="pyro-vae train [options]",
        description="Train a VAE: theta and phi together, by maximising a bound on log p(x).",
        epilog="The options of a part: --prior.help StandardNormal, --encoder.help MLP, ...\n",
    )
    add = parser.add_argument_group("data").add_argument
    add("--data", type=str, default="digits", metavar="SET", help=_DATA)
    add("--limit", type=int | None, default=None, metavar="N", help="only N examples of each split")
    programs = parser.add_argument_group("model p(x, z) and guide q(z|x)")
    for name in ("program", "prior", "likelihood", "posterior", "encoder", "decoder"):
        _add_part(programs, name)
    add = programs.add_argument
    add("--latent", type=int, default=LATENT, metavar="N", help="latent dimensions, for all parts")
    group = parser.add_argument_group("training")
    _add_part(group, "objective")
    _add_part(group, "strategy")
    add = group.add_argument
    add("--epochs", type=int, default=60, metavar="N", help="passes over the data")
    add("--batch_size", type=int, default=128, metavar="N", help="examples in a mini-batch")
    add("--lr", type=float, default=2e-3, metavar="X", help="learning rate of theta and phi")
    add("--lr_guide", type=float | None, default=None, metavar="X", help="another one for phi")
    add(
        "--schedule",
        type=Literal["cosine", "linear", "constant"],
        default="cosine",
        metavar="NAME",
        help="of the learning rates over the run: cosine and linear fall to zero, or constant",
    )
    add("--clip_norm", type=float | None, default=None, metavar="X", help="greatest gradient norm")
    patience = "stop after N epochs without a better validation ELBO"
    add("--patience", type=int | None, default=None, metavar="N", help=patience)
    add("--restore_best", type=bool, default=True, metavar="BOOL", help=_BEST)
    add("--seed", type=int, default=0, metavar="N", help="of weights, order of data, and samples")
    add("--device", type=str, default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, ...")
    add("--compile", type=bool | Literal["auto"], default="auto", metavar="WHEN", help=_COMPILE)
    add(
        "--precision",
        type=Literal["float32", "tf32", "bf16"],
        default="float32",
        metavar="NAME",
        help="of the networks: float32, tf32 (NVIDIA GPUs) or bf16",
    )
    nll = "importance samples for each example of the NLL at the end"
    add("--particles", type=int, default=1000, metavar="N", help=nll)
    return parser


_COMPILE = "compile the step: true, false, or auto, for runs long enough that it pays"
_BEST = "end with the weights of the best epoch on the validation data, not of the last"
_DATA = "a name from `pyro-vae data list`, or a file: .npy, .npz, .csv"


def _add_part(group: Any, name: str) -> None:
    slot = SLOTS[name]
    known = ", ".join(known_parts(name))
    if slot.default is None:
        known += " (default: Bernoulli for pixels, Normal for reals)"
    else:
        known = known.replace(slot.default, f"{slot.default} (default)", 1)
    options = {"default": default_part(name)} if slot.filled else {}
    group.add_subclass_arguments(
        slot.base,
        name,
        as_group=False,
        # Those of a part within the part are filled in, too, and of one within that.
        skip={f"{'base.init_args.' * depth}{inner}" for depth in range(3) for inner in PROVIDED},
        instantiate=False,
        metavar="NAME",
        help=f"{slot.text}: {known}",
        **options,
    )
    # `--prior.help NAME` is answered with a page of our own.
    for action in group._group_actions:
        if action.dest.endswith(".help"):
            action.help = SUPPRESS


def add_run_options(parser: Parser) -> None:
    """Options of one call that are not part of the run: what it leaves, how loud."""
    add = parser.add_argument_group("result").add_argument
    add("--pictures", type=bool, default=True, help="draw pictures when done")
    add("--tensorboard", action="store_true", help="write TensorBoard events into the run folder")
    add_output_options(parser)


def add_out_options(parser: Parser) -> None:
    """Where a new run goes, and the options that come from a file."""
    add = next(group for group in parser._action_groups if group.title == "result").add_argument
    add("--out", type=str | None, default=None, metavar="FOLDER", help=_OUT)
    add("--overwrite", action="store_true", help="replace a run that the folder holds")
    parser.add_argument("--config", action="config", metavar="FILE", help=_CONFIG)
    for action in parser._actions:
        if action.dest == "print_config" or "--print_config" in action.option_strings:
            action.help = "print the options in that form, and train nothing"


_OUT = "run folder (default: runs/NAME of the data, numbered)"
_CONFIG = "a YAML file with any of these options; those typed go before it"


def add_output_options(parser: Parser) -> None:
    """Options that every command which reports has."""
    add = parser.add_argument
    add("--json", action="store_true", help="one JSON object on stdout, and no progress bar")
    add_debug(parser)


def add_debug(parser: Parser) -> None:
    """``--debug``, for every command."""
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")


def as_config(options: Namespace) -> dict[str, Any]:
    """The options that make the run, as plain data."""
    found: dict[str, Any] = options.as_dict()
    kept = {k: v for k, v in found.items() if k not in CALL_OPTIONS and not k.startswith("__")}
    plain: dict[str, Any] = _plain(kept)
    return plain


def _plain(value: Any) -> Any:
    """Classes by their import paths, as YAML takes them."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return import_path(value) if isinstance(value, type) else value
