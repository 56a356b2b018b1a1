"""The validation ELBO: always the plain one, and it changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
import torch
from torch import Tensor

from pyro_vae.objectives import split
from pyro_vae.terms import site_terms, untouched_randomness
from pyro_vae.terms.information import mutual_information

from .arguments import as_arguments, transformed
from .modules import evaluation_mode

#: Seed of the guide's samples: the same at each epoch, so that epochs differ by the weights alone.
SEED = 20140414


def validation_elbo(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    data: Any,
    batch_size: int = 1000,
) -> dict[str, float]:
    """``{"valid_elbo", "valid_reconstruction", "valid_kl"}``: means over ``data``, in nats.

    One sample of the guide for each example, KL in closed form where there is one; unweighted
    whatever the objective of the training is. Modules are in evaluation mode, gradients off, and
    the random numbers outside stay as they were: two calls give the same numbers.

    Args:
        model, guide: any Pyro programs.
        data: a tensor or array ``(n, *event)``, or a tuple of them, where the programs are.
        batch_size: examples in one pass.

    >>> import pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))
    >>> list(validation_elbo(model, guide, torch.zeros(3)))
    ['valid_elbo', 'valid_reconstruction', 'valid_kl']
    """
    arguments = as_arguments(data, "data")
    total: Tensor | float = 0.0
    quiet = pyro.validation_enabled(False)
    with torch.no_grad(), evaluation_mode(model, guide), untouched_randomness(SEED), quiet:
        for batch in zip(*(t.split(batch_size) for t in arguments), strict=True):
            part = split(site_terms(model, guide, *batch), examples=len(arguments[0]))
            sums = [term.sum() for term in (part.elbo, part.reconstruction, part.kl)]
            total = total + torch.stack(sums).double()
    means = (torch.as_tensor(total) / len(arguments[0])).tolist()
    return dict(zip(("valid_elbo", "valid_reconstruction", "valid_kl"), means, strict=True))


def latent_information(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    data: tuple[Tensor, ...],
    transform: Callable[[Tensor], Tensor] | None = None,
    examples: int = 1000,
) -> float:
    """Mutual information of x and the guide's first latent, from the first examples, in nats.

    At most the logarithm of their number; see
    :func:`pyro_vae.terms.information.mutual_information`.
    """
    quiet = pyro.validation_enabled(False)
    with torch.no_grad(), evaluation_mode(model, guide), untouched_randomness(SEED), quiet:
        few = transformed(tuple(t[:examples] for t in data), transform)
        return float(mutual_information(site_terms(model, guide, *few)))
