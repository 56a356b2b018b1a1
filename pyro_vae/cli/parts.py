"""The parts that one can name on the command line, and the options of each."""

from __future__ import annotations

import importlib
import inspect
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

from docstring_parser import DocstringStyle
from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentParser

from pyro_vae.families import Family
from pyro_vae.likelihoods import Likelihood
from pyro_vae.networks import Network
from pyro_vae.objectives import Objective
from pyro_vae.posteriors import Posterior
from pyro_vae.priors import Prior
from pyro_vae.programs.corruption import Corruption
from pyro_vae.training import Strategy

from .plain import plain


@dataclass(frozen=True)
class Slot:
    """An option that takes a part: its base class, default, and what the part is.

    ``filled`` slots hold their default where nothing is named; others are left to the family.
    ``within`` is the slot of whose parts this one is a part; such a slot has no option of its own.
    """

    base: type
    default: str | None
    text: str
    filled: bool = True
    within: str | None = None


SLOTS: dict[str, Slot] = {
    "program": Slot(Family, "vae", "the family of the two programs"),
    "prior": Slot(Prior, "StandardNormal", "p(z)", filled=False),
    "likelihood": Slot(Likelihood, None, "p(x|z)", filled=False),
    "posterior": Slot(Posterior, "DiagonalNormal", "q(z|x)"),
    "encoder": Slot(Network, "MLP", "the posterior's network, from x"),
    "decoder": Slot(Network, "MLP", "the likelihood's network, from z"),
    "objective": Slot(Objective, "ELBO", "the bound to maximise"),
    "strategy": Slot(Strategy, "Joint", "which of theta and phi a step moves"),
    "corruption": Slot(Corruption, "Masking", "how x is spoilt (denoising)", within="program"),
}

#: Constructor parameters that are filled in, from the data, --latent and the other parts.
PROVIDED = {"latent", "network", "inputs", "outputs", "shape", "posterior", "log_joint"}

#: Parts that no command can use, and why.
ELSEWHERE = {
    "PerExample": "it has a posterior for each training example and none for others, so there "
    "would be nothing to validate or to test; from Python, fit(model, guide, (x, "
    "torch.arange(len(x))))",
}


@dataclass(frozen=True)
class Option:
    """One parameter of a part's constructor."""

    hint: Any
    default: Any
    required: bool
    text: str


@cache
def options_of(kind: type) -> dict[str, Option]:
    """What one can set of a part: its constructor's parameters, but for those filled in.

    >>> list(options_of(known_parts("posterior")["DiagonalNormal"]))
    ['min_scale']
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, skip=PROVIDED, fail_untyped=False)
    return {
        action.dest: Option(
            getattr(action, "_typehint", action.type),
            action.default,
            action.required,
            plain(action.help or ""),
        )
        for action in parser._actions
        if action.dest not in ("help", "config") and not action.dest.endswith(".help")
    }


def known_parts(slot: str) -> dict[str, type]:
    """The package's own parts for an option, by the name that one types, the default first."""
    base, default = SLOTS[slot].base, SLOTS[slot].default
    found: dict[str, type] = {}
    pending: list[type] = [base]
    while pending:
        derived: list[type] = pending.pop().__subclasses__()
        pending += derived
        for kind in derived:
            if (
                _offered(kind, base)
                and kind.__name__ not in ELSEWHERE
                and not is_abstract(kind)
                and not kind.__name__.startswith("_")
            ):
                found[kind.__name__] = kind
    other = {"encoder": "Decoder", "decoder": "Encoder"}.get(slot)
    names = [name for name in found if other is None or not name.endswith(other)]
    return {name: found[name] for name in sorted(names, key=lambda n: (n != default, n))}


def typed(slot: str) -> str:
    """The option by which a part is named, without dashes.

    >>> typed("prior"), typed("corruption")
    ('prior', 'program.corruption')
    """
    within = SLOTS[slot].within
    return slot if within is None else f"{within}.{slot}"


def _offered(kind: type, base: type) -> bool:
    """Whether a class is one that its base's folder offers, whatever else is imported.

    By its name, or by that of its module. A family's own parts, elsewhere, are no choice.
    """
    folder, of_base = (".".join(one.__module__.split(".")[:2]) for one in (kind, base))
    names = {kind.__name__, *kind.__module__.split(".")[2:]}
    here = folder.startswith("pyro_vae.") and folder == of_base
    return here and not names.isdisjoint(getattr(sys.modules[folder], "__all__", ()))


def is_abstract(kind: type) -> bool:
    """Whether a method is left to subclasses, with or without ``abc.ABCMeta``."""
    methods = (getattr(kind, name, None) for name in dir(kind))
    return any(getattr(method, "__isabstractmethod__", False) for method in methods)


def find_class(path: str) -> type | None:
    """The class at an import path; ``None`` where there is none. Its module is imported.

    >>> find_class("pyro_vae.priors.StandardNormal").__name__
    'StandardNormal'
    >>> find_class("pyro_vae.cli.folder.Path")    # not a class of this package
    """
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name, None) if module else None
    except ImportError:
        return None
    if not isinstance(found, type):
        return None
    borrowed = module.startswith("pyro_vae.") and not found.__module__.startswith("pyro_vae.")
    return None if borrowed else found


def default_part(slot: str) -> dict[str, str] | None:
    """A default part as a configuration holds it."""
    name = SLOTS[slot].default
    return None if name is None else {"class_path": import_path(known_parts(slot)[name])}


def import_path(kind: type) -> str:
    """Where one imports a class from: ours by the package that exports it.

    >>> import_path(SLOTS["prior"].base)
    'pyro_vae.priors.Prior'
    """
    module = kind.__module__
    package = module.rpartition(".")[0] if module.startswith("pyro_vae.") else module
    exported = getattr(sys.modules[package], kind.__name__, None) is kind
    return f"{package if exported else module}.{kind.__qualname__}"


def purpose(kind: type) -> str:
    """The first sentence of a part's docstring, in one line."""
    text = parse_docstring(inspect.getdoc(kind) or "", DocstringStyle.GOOGLE).short_description
    return plain(text or "").rstrip(",:;.")
