"""The guide's answer: q(z|x)."""

from __future__ import annotations

from pyro import poutine
from pyro.distributions import TorchDistribution
from torch import Tensor

from pyro_vae.terms.passes import Program

from .checks import raise_for_nan, told_in_one_line
from .inputs import prepare
from .sites import latent_site, mean_of
from .undisturbed import undisturbed


def encode(
    guide: Program, x: Tensor, *others: Tensor, site: str | None = None, seed: int = 0
) -> TorchDistribution:
    """The distribution q(z|x) itself, one for each example.

    Args:
        guide: any Pyro program, called as ``guide(x, *others)``.
        x: ``(n, *event)``; moved to the guide's device.
        others: further arguments of the guide, each ``(n, ...)``.
        site: the latent site, where there are several. One that the guide draws after another is
            the conditional given a single sample of that other.
        seed: of such samples.

    Returns:
        Batch shape ``(n,)``, event shape ``(latent,)``: take its ``.mean`` or ``.sample()``.

    Raises:
        ProgramError: no such site, several of them, or nan.

    >>> import pyro, pyro.distributions as dist, torch
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2, 0.5))
    >>> encode(guide, torch.tensor([0.0, 2.0])).mean
    tensor([0., 1.])
    """
    arguments = prepare((guide,), x, others)
    with undisturbed(guide, seed=seed):
        with told_in_one_line("guide", arguments):
            trace = poutine.trace(guide).get_trace(*arguments)
        node = latent_site(trace, site)
        mean = mean_of(node)
        raise_for_nan(node["value"] if mean is None else mean, f"q at {node['name']!r}", arguments)
    return node["fn"]
