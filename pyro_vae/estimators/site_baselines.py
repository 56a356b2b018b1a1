"""The baseline of each site of a guide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.networks import MLP
from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.table import Terms

from .base import Estimator, Learned, LeaveOneOut, RunningMean
from .baselines import LearnedBaseline, RunningBaseline, leave_one_out
from .score import Baseline


class Baselines(nn.ModuleDict):
    """The baselines of an objective's sites, made when the sites are known."""

    def prepare(self, terms: Terms, chosen: Mapping[str, Estimator]) -> None:
        """Make those that are wanted and not there yet."""
        for name, estimator in chosen.items():
            if isinstance(estimator, RunningMean) and _key(name) not in self:
                self[_key(name)] = self._made(estimator, terms, name)

    def of(self, terms: Terms, chosen: Mapping[str, Estimator]) -> Baseline:
        """What to subtract at each site of these terms."""
        learned = any(isinstance(estimator, Learned) for estimator in chosen.values())
        x = observed(terms) if learned else None

        def baseline(name: str, signal: Tensor) -> tuple[Tensor | float, Tensor | float]:
            if isinstance(chosen[name], LeaveOneOut):
                return leave_one_out(signal), 0.0
            if isinstance(chosen[name], RunningMean):
                value, loss = self[_key(name)](signal, x)
                return value, loss
            return 0.0, 0.0

        return baseline

    def _made(self, estimator: RunningMean, terms: Terms, name: str) -> RunningBaseline:
        network = getattr(estimator, "network", None)
        if network is not None and any(
            getattr(b, "network", None) is network for b in self.values()
        ):
            raise ProgramError(
                f"site {name!r} shares the network of its baseline with another site, whose "
                'signal is another: give each its own, infer={"estimator": Learned(network=...)}'
            )
        return make_baseline(estimator, terms, name)


def make_baseline(estimator: RunningMean, terms: Terms, name: str) -> RunningBaseline:
    """The baseline of a site.

    Raises :class:`ProgramError` where it is to learn from x, and the site has none of its own.
    """
    site = terms[name]
    like = site.log_q
    assert like is not None
    if not isinstance(estimator, Learned):
        return RunningBaseline(estimator.decay, like)
    if not site.per_example:
        raise ProgramError(
            f"site {name!r} cannot take estimator 'learned': it lies outside the data plate, so "
            "it has no x of its own; use 'running-mean' or 'leave-one-out'"
        )
    if estimator.network is not None:
        network = estimator.network
    else:
        network = MLP(observed(terms).shape[1:], 1, estimator.hidden).to(like)
    return LearnedBaseline(estimator.decay, like, network, _data_dim(site.site, terms))


def observed(terms: Terms) -> Tensor:
    """The data of each example, ``(batch, *event)``; of several sites ``(batch, features)``.

    An event of one number has shape ``(1,)``.
    """
    found = []
    for site in terms.of_kind("observed"):
        if site.per_example and isinstance(site.value, Tensor):
            axis = _data_dim(site.site, terms) - len(site.event_shape)
            if site.value.dim() >= -axis and type(site.site["fn"]).__name__ != "Unit":
                value = site.value.movedim(axis, 0)
                found.append(value.unsqueeze(-1) if value.dim() == 1 else value)
    if not found:
        raise ProgramError(
            "estimator 'learned' has no data to learn from: observe x inside the data plate, or "
            "use 'running-mean'"
        )
    if len(found) == 1:
        return found[0]
    return torch.cat([value.flatten(1).to(found[0]) for value in found], -1)


def _key(name: str) -> str:
    """A module's name has no dots, and none of a dict's methods' names."""
    return "site_" + name.replace(".", "_")


def _data_dim(site: Any, terms: Terms) -> int:
    (dim,) = [f.dim for f in site["cond_indep_stack"] if f.name == terms.data_plate]
    return int(dim)
