"""From options to objects: the data, the programs, the objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pyro_vae import data
from pyro_vae.data.dataset import SPLITS
from pyro_vae.families import Family, View
from pyro_vae.objectives import Objective
from pyro_vae.programs import VAE
from pyro_vae.terms import untouched_randomness
from pyro_vae.training import Strategy

from .assemble import NamedParts, refuse_unused
from .errors import UsageError
from .make import class_of, part
from .parts import import_path, known_parts
from .values import default_likelihood, fitting, image_shape


@dataclass(frozen=True)
class Built:
    """What a configuration stands for.

    Attributes:
        config: the configuration itself, with what it left open filled in.
        dataset: x, in its three splits.
        others: what the programs are given besides x, for each split.
        image: the shape in which an example is shown as an image, ``None`` where it is none.
    """

    config: dict[str, Any]
    dataset: data.Dataset
    others: dict[str, tuple[Tensor, ...]]
    family: Family
    vae: VAE
    objective: Objective
    strategy: Strategy
    image: tuple[int, ...] | None

    def raw(self, name: str) -> tuple[Tensor, ...]:
        """The arguments of the programs, one split of them, before any transform."""
        return (getattr(self.dataset, name), *self.others[name])

    def split(
        self, name: str, limit: int | None = None, seed: int = 0, shuffled: bool = False
    ) -> tuple[Tensor, ...]:
        """The first examples of one split, in the form that the programs are trained on."""
        chosen = self._chosen(name, limit, shuffled)
        x, *others = (argument[chosen] for argument in self.raw(name))
        if name == "train" and self.dataset.transform is not None:
            with untouched_randomness(seed):
                x = self.dataset.transform(x)
        return (x, *others)

    def view(
        self,
        name: str = "test",
        limit: int | None = None,
        seed: int = 0,
        shuffled: bool = False,
    ) -> View:
        """What the family reports on and draws, where the programs are.

        ``shuffled`` takes examples in a random order that is always the same: some sets are sorted
        by class, and their first examples are all alike.
        """
        device = next(self.vae.parameters()).device
        chosen = self._chosen(name, limit, shuffled)
        x, *others = (argument.to(device) for argument in self.split(name, limit, seed, shuffled))
        labels = self.dataset.labels
        unit = self.dataset.values in ("binary", "grey")
        low, high = (0.0, 1.0) if unit else (None, None)
        return View(
            model=self.vae.model,
            guide=self.vae.guide,
            x=x,
            others=tuple(others),
            labels=labels[name][chosen].to(device) if labels else None,
            train=self.dataset.train.to(device),
            image=self.image,
            look={"shape": self.image, "vmin": low, "vmax": high},
        )

    def _chosen(self, name: str, limit: int | None, shuffled: bool) -> Tensor | slice:
        if not shuffled:
            return slice(limit)
        n = len(getattr(self.dataset, name))
        return torch.randperm(n, generator=torch.Generator().manual_seed(0))[:limit]


def build(config: Mapping[str, Any]) -> Built:
    """Make everything that a configuration names, from its seed.

    Raises :class:`UsageError`, ``ValueError`` or ``FileNotFoundError`` with one line.
    """
    config = dict(config)
    for name in ("latent", "limit", "epochs", "batch_size", "patience", "particles"):
        at_least_one(name, config[name])
    if not -(2**63) <= config["seed"] < 2**63:
        raise UsageError(f"--seed is a whole number of 64 bits, not {config['seed']}")
    family: Family = part("program", config["program"])
    refuse_unused(config, family)
    if config["data"] not in data.names() and Path(config["data"]).is_file():
        # So that the run can be opened from any folder.
        config["data"] = str(Path(config["data"]).resolve())
    dataset, image = _data(config, family)
    default_prior = family.default_prior(config["posterior"]["class_path"].rpartition(".")[2])
    if config["prior"] is None and default_prior is not None:
        name, init_args = default_prior
        path = import_path(known_parts("prior")[name])
        config["prior"] = {"class_path": path, **({"init_args": init_args} if init_args else {})}
    with untouched_randomness(config["seed"]):
        shape = tuple(dataset.event_shape)
        others = {name: family.others(dataset, name, config["seed"]) for name in SPLITS}
        programs = family.programs(NamedParts(config, family, shape))
        family.begin(programs, dataset.train, *others["train"])
        objective: Objective = part("objective", config["objective"])
        _refuse_unheeded(family, objective)
        strategy = part("strategy", config["strategy"])
    return Built(config, dataset, others, family, programs, objective, strategy, image)


def _data(config: dict[str, Any], family: Family) -> tuple[data.Dataset, tuple[int, ...] | None]:
    """x as the family has it, and the shape of an image; fills the likelihood in."""
    images = any(class_of(name, config[name]).images for name in ("encoder", "decoder"))
    dataset = _loaded(config["data"], family)
    image = image_shape(dataset)
    dataset = dataset if images else dataset.flatten()
    if config["limit"] is not None:
        dataset = dataset.subset(config["limit"])
    dataset = family.arrange(dataset, image, config["seed"])
    if "likelihood" in family.unused:
        return dataset, image
    if config["likelihood"] is None:
        name = family.default_likelihood(dataset)
        config["likelihood"] = default_likelihood(dataset, name)
    dataset = fitting(dataset, class_of("likelihood", config["likelihood"]))
    if dataset.transform is not None and not family.redrawn:
        with untouched_randomness(config["seed"]):
            dataset = replace(dataset, train=dataset.transform(dataset.train), transform=None)
    return dataset, image


def _refuse_unheeded(family: Family, objective: Objective) -> None:
    """:class:`UsageError` for an estimator that this objective has no use for."""
    estimator = getattr(family, "estimator", "objective")
    if estimator != "objective" and not objective.takes_estimators:
        raise UsageError(
            f"--objective {type(objective).__name__} has its own gradients, and would not heed "
            f"--program.estimator {estimator}: give --program.estimator objective, or --objective "
            "ELBO"
        )


def _loaded(name: str, family: Family) -> data.Dataset:
    try:
        return data.load(name, flatten=False, missing=family.gaps)
    except ValueError as error:
        if family.gaps or "nan" not in str(error):
            raise
        raise UsageError(f"{error}; --program missing takes them for missing entries") from error


def at_least_one(name: str, value: int | None) -> None:
    """Raise :class:`UsageError` for a count below 1; ``None`` passes."""
    if value is not None and value < 1:
        raise UsageError(f"--{name} is at least 1, not {value}")
