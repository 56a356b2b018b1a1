"""From options to objects: the data, the programs, the objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from pyro_vae import data
from pyro_vae.objectives import Objective
from pyro_vae.programs import VAE, log_joint, vae
from pyro_vae.terms import untouched_randomness
from pyro_vae.training import Strategy

from .errors import UsageError
from .make import class_of, part
from .values import default_likelihood, fitting, image_shape


@dataclass(frozen=True)
class Built:
    """What a configuration stands for.

    Attributes:
        config: the configuration itself, with what it left open filled in.
        image: the shape in which an example is shown as an image, ``None`` where it is none.
    """

    config: dict[str, Any]
    dataset: data.Dataset
    vae: VAE
    objective: Objective
    strategy: Strategy
    image: tuple[int, ...] | None

    def split(self, name: str, limit: int | None = None, seed: int = 0) -> Tensor:
        """The first examples of one split, in the form that the programs are trained on."""
        x: Tensor = getattr(self.dataset, name)[:limit]
        if name != "train" or self.dataset.transform is None:
            return x
        with untouched_randomness(seed):
            return self.dataset.transform(x)


def build(config: Mapping[str, Any]) -> Built:
    """Make everything that a configuration names, from its seed.

    Raises :class:`UsageError`, ``ValueError`` or ``FileNotFoundError`` with one line.
    """
    config = dict(config)
    for name in ("latent", "limit", "epochs", "batch_size", "patience", "particles"):
        at_least_one(name, config[name])
    if not -(2**63) <= config["seed"] < 2**63:
        raise UsageError(f"--seed is a whole number of 64 bits, not {config['seed']}")
    images = any(class_of(name, config[name]).images for name in ("encoder", "decoder"))
    if config["data"] not in data.names() and Path(config["data"]).is_file():
        # So that the run can be opened from any folder.
        config["data"] = str(Path(config["data"]).resolve())
    dataset = data.load(config["data"], flatten=False)
    image = image_shape(dataset)
    dataset = dataset if images else dataset.flatten()
    if config["limit"] is not None:
        dataset = dataset.subset(config["limit"])
    config["likelihood"] = config["likelihood"] or default_likelihood(dataset)
    dataset = fitting(dataset, class_of("likelihood", config["likelihood"]))
    with untouched_randomness(config["seed"]):
        programs = build_vae(config, tuple(dataset.event_shape))
        # A prior that starts from data says so by this method, as VampPrior does.
        start = getattr(programs.model.prior, "initialize", None)
        if start is not None:
            start(dataset.train)
        objective = part("objective", config["objective"])
        strategy = part("strategy", config["strategy"])
    return Built(config, dataset, programs, objective, strategy, image)


def build_vae(config: Mapping[str, Any], shape: tuple[int, ...]) -> VAE:
    """The two programs, with networks of the sizes that data and parts ask for."""
    latent = config["latent"]
    # Bound later to the model, which may hold in its prior the very posterior that asks for it.
    joint = log_joint(_no_model)
    encoder = part(
        "encoder", config["encoder"], inputs=shape, outputs=_outputs("posterior", config, latent)
    )
    decoder = part(
        "decoder", config["decoder"], inputs=latent, outputs=_outputs("likelihood", config, shape)
    )
    posterior = part(
        "posterior", config["posterior"], network=encoder, latent=latent, log_joint=joint
    )
    prior = part("prior", config["prior"], latent=latent, posterior=posterior, shape=shape)
    likelihood = part("likelihood", config["likelihood"], network=decoder)
    joint.model = vae.Model(prior, likelihood)
    return VAE(joint.model, vae.Guide(posterior))


def _no_model(x: Tensor) -> None:
    raise ValueError("the joint density is asked for before there is a model")


def at_least_one(name: str, value: int | None) -> None:
    """Raise :class:`UsageError` for a count below 1; ``None`` passes."""
    if value is not None and value < 1:
        raise UsageError(f"--{name} is at least 1, not {value}")


def _outputs(slot: str, config: Mapping[str, Any], size: Any) -> tuple[int, ...]:
    """The event shape that a part asks of its network."""
    spec = config[slot]
    shape: tuple[int, ...] = class_of(slot, spec).outputs(size, **(spec.get("init_args") or {}))
    return shape
