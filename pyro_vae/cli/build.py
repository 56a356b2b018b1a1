"""From options to objects: the data, the programs, the objective."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pyro_vae import data
from pyro_vae.objectives import Objective
from pyro_vae.programs import VAE, vae

from .parser import UsageError, find_class

#: Likelihood for each kind of values, where none is asked for.
DEFAULT_LIKELIHOOD = {"binary": "Bernoulli", "grey": "Bernoulli", "real": "Normal"}


@dataclass(frozen=True)
class Built:
    """What a configuration stands for."""

    dataset: data.Dataset
    vae: VAE
    objective: Objective

    def split(self, name: str) -> Tensor:
        """The examples of one split by its name."""
        if name not in ("train", "valid", "test"):
            raise UsageError(f"--split is train, valid or test, not {name}")
        x: Tensor = getattr(self.dataset, name)
        transform = self.dataset.transform if name == "train" else None
        return x if transform is None else transform(x)


def build(config: Mapping[str, Any]) -> Built:
    """Make everything that a configuration names, from its seed.

    Raises :class:`UsageError`, ``ValueError`` or ``FileNotFoundError`` with one line.
    """
    dataset = load_data(config)
    torch.manual_seed(config["seed"])
    return Built(dataset, build_vae(config, tuple(dataset.event_shape)), part(config["objective"]))


def load_data(config: Mapping[str, Any]) -> data.Dataset:
    """The data set in the form that the parts need: binarised, and flat, or as images."""
    images = any(_class(config[name]).images for name in ("encoder", "decoder"))
    dataset = data.load(config["data"], flatten=not images)
    if config["limit"] is not None:
        dataset = dataset.subset(config["limit"])
    wanted = _likelihood_class(config, dataset.values).values
    if wanted == "binary" and dataset.values == "grey":
        # The density of a coin at 0.3 means nothing: grey values become coins themselves.
        return dataset.binarized(seed=0)
    if wanted == "binary" and dataset.values != "binary":
        raise UsageError(
            f"{dataset.name} has {dataset.values} values, outside the support of Bernoulli: "
            "use --likelihood Normal"
        )
    return dataset


def build_vae(config: Mapping[str, Any], shape: tuple[int, ...]) -> VAE:
    """The two programs, with networks of the sizes that data and parts ask for."""
    latent = config["latent"]
    if latent < 1:
        raise UsageError(f"--latent is the number of latent dimensions, at least 1, not {latent}")
    spec = config["likelihood"] or _default_likelihood(config)
    likelihood, posterior = _class(spec), _class(config["posterior"])
    decoder = part(config["decoder"], inputs=latent, outputs=likelihood.outputs(shape))
    encoder = part(config["encoder"], inputs=shape, outputs=posterior.outputs(latent))
    model = vae.Model(part(config["prior"], latent=latent), part(spec, network=decoder))
    return VAE(model, vae.Guide(part(config["posterior"], network=encoder)))


def part(spec: Mapping[str, Any], **provided: Any) -> Any:
    """An object of the class that ``spec`` names, given what it asks for among ``provided``."""
    kind = _class(spec)
    asked = inspect.signature(kind.__init__).parameters
    known = {name: value for name, value in provided.items() if name in asked}
    return kind(**known, **(spec.get("init_args") or {}))


def foreign_classes(config: Any) -> Iterator[str]:
    """Import paths in a configuration that lie outside this package."""
    if isinstance(config, Mapping):
        path = config.get("class_path")
        if isinstance(path, str) and not path.startswith("pyro_vae."):
            yield path
        for value in config.values():
            yield from foreign_classes(value)
    elif isinstance(config, list):
        for value in config:
            yield from foreign_classes(value)


def _likelihood_class(config: Mapping[str, Any], values: str) -> Any:
    if config["likelihood"]:
        return _class(config["likelihood"])
    if values not in DEFAULT_LIKELIHOOD:
        raise UsageError(f"{config['data']} holds {values}: say which --likelihood they follow")
    return _class({"class_path": f"pyro_vae.likelihoods.{DEFAULT_LIKELIHOOD[values]}"})


def _default_likelihood(config: Mapping[str, Any]) -> dict[str, Any]:
    # The data were loaded once already; a second look costs little and keeps one rule.
    kind = _likelihood_class(config, data.load(config["data"]).values)
    return {"class_path": f"pyro_vae.likelihoods.{kind.__name__}"}


def _class(spec: Mapping[str, Any]) -> Any:
    kind = find_class(spec["class_path"])
    if kind is None:
        raise UsageError(f"there is no class {spec['class_path']}")
    return kind
