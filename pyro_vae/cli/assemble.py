"""The named parts of a configuration, made in the sizes that a family asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from pyro_vae import data
from pyro_vae.families import Family
from pyro_vae.likelihoods import Likelihood
from pyro_vae.networks import MLP, Network
from pyro_vae.networks.shapes import as_shape
from pyro_vae.posteriors import Posterior
from pyro_vae.programs import LogJoint

from .errors import UsageError
from .make import asked, class_of, part
from .parts import SLOTS, find_class, known_parts, options_of

Shape = int | Sequence[int]


class NamedParts:
    """:class:`pyro_vae.families.Parts` of a configuration."""

    def __init__(self, config: Mapping[str, Any], family: Family, shape: tuple[int, ...]) -> None:
        self.config = config
        self.family = family
        self.program = type(family).__name__
        self.shape = shape
        self.latent: int = config["latent"]

    def encoder(self, inputs: Shape, outputs: Shape) -> Network:
        return self._network("encoder", inputs, outputs)

    def decoder(self, inputs: Shape, outputs: Shape) -> Network:
        return self._network("decoder", inputs, outputs)

    def inner(self, inputs: Shape, outputs: Shape) -> Network:
        if class_of("decoder", self.config["decoder"]).images:
            return MLP(inputs, outputs)
        return self._network("decoder", inputs, outputs)

    def posterior(self, inputs: Shape, latent: int, log_joint: LogJoint | None = None) -> Posterior:
        network = self.encoder(inputs, self._outputs("posterior", latent))
        return self._posterior(network, latent, log_joint)

    def upper_posterior(self, inputs: Shape, latent: int) -> Posterior:
        return self._posterior(self.inner(inputs, self._outputs("posterior", latent)), latent)

    def _posterior(
        self, network: Network, latent: int, log_joint: LogJoint | None = None
    ) -> Posterior:
        if log_joint is None:
            self._refuse("posterior", "log_joint", "uses the model's joint density of one z")
        options = {"latent": latent, "log_joint": log_joint}
        found: Posterior = part("posterior", self.config["posterior"], network=network, **options)
        return found

    def prior(self, latent: int, posterior: nn.Module | None = None, **options: Any) -> Any:
        if posterior is None:
            self._refuse("prior", "posterior", "is made of posteriors q(z|x)")
        classes = {slot: class_of(slot, self.config[slot]) for slot in ("prior", "posterior")}
        if "posterior" in asked(classes["prior"]) and "log_joint" in asked(classes["posterior"]):
            named = {slot: kind.__name__ for slot, kind in classes.items()}
            raise UsageError(
                f"--prior {named['prior']} is made of the posterior, and --posterior "
                f"{named['posterior']} uses the prior, without an end: change one of the two"
            )
        return part("prior", self.config["prior"], latent=latent, posterior=posterior, **options)

    def likelihood(self, inputs: Shape) -> Likelihood:
        network = self.decoder(inputs, self._outputs("likelihood", self.shape))
        found: Likelihood = part("likelihood", self.config["likelihood"], network=network)
        return found

    def named(self, slot: str) -> str | None:
        spec = self.config[slot]
        return None if spec is None else spec["class_path"].rpartition(".")[2]

    def _network(self, slot: str, inputs: Shape, outputs: Shape) -> Network:
        kind = class_of(slot, self.config[slot])
        seen = as_shape(inputs if slot == "encoder" else outputs)
        if kind.images and len(seen) == 1:
            cure = f"give --{slot} MLP"
            if self.config["data"] not in data.names():
                cure += ", or save the data as (n, channels, height, width)"
            raise UsageError(
                f"--{slot} {kind.__name__} needs images, and --program {self.program} has vectors "
                f"of {seen[0]} numbers for it: {cure}"
            )
        network: Network = part(slot, self.config[slot], inputs=inputs, outputs=outputs)
        return network

    def _outputs(self, slot: str, size: Any) -> tuple[int, ...]:
        """The event shape that a part asks of its network."""
        spec = self.config[slot]
        shape: tuple[int, ...]
        shape = class_of(slot, spec).outputs(size, **(spec.get("init_args") or {}))
        return shape

    def _refuse(self, slot: str, asks: str, what: str) -> None:
        """:class:`UsageError` for a part that needs what this family cannot give."""
        kind = class_of(slot, self.config[slot])
        if asks in asked(kind):
            others = [name for name, one in known_parts(slot).items() if asks not in asked(one)]
            raise UsageError(
                f"--{slot} {kind.__name__} {what}, and --program {self.program} has none such: "
                f"{self.family.withheld[asks]}; choose from {', '.join(others)}"
            )


def refuse_unused(config: Mapping[str, Any], family: Family) -> None:
    """:class:`UsageError` for a part that was named and has no place in the family."""
    name = type(family).__name__
    for slot, why in family.unused.items():
        given = config[slot]
        if slot == "latent":
            if given != LATENT:
                raise UsageError(f"--latent {given} has no place in --program {name}: {why}")
        elif given is not None and not _is_default(slot, given):
            part_name = given["class_path"].rpartition(".")[2]
            raise UsageError(f"--{slot} {part_name} has no place in --program {name}: {why}")


#: Latent dimensions where none are given.
LATENT = 32


def _is_default(slot: str, spec: Mapping[str, Any]) -> bool:
    """Whether a part is the one that stands where nothing is named, in all its options."""
    if not SLOTS[slot].filled:
        return False
    kind = find_class(spec["class_path"])
    if kind is None or kind.__name__ != SLOTS[slot].default:
        return False
    options = options_of(kind)
    given = spec.get("init_args") or {}
    return all(_plain(value) == _plain(options[name].default) for name, value in given.items())


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
