"""The validation ELBO: always the plain one, and it changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pyro
import torch
from torch import Tensor, nn

from pyro_vae.objectives import site_terms, split, untouched_randomness

#: Seed of the guide's samples: the same at each epoch, so that epochs differ by the weights alone.
SEED = 20140414


def validation_elbo(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    data: tuple[Tensor, ...],
    batch_size: int = 1000,
) -> dict[str, float]:
    """``{"valid_elbo", "valid_reconstruction", "valid_kl"}``: means over ``data``, in nats.

    One sample of the guide for each example, KL in closed form where there is one; unweighted
    whatever the objective of the training is. Modules are in evaluation mode, gradients off, and
    the random numbers outside stay as they were.
    """
    total: Tensor | float = 0.0
    quiet = pyro.validation_enabled(False)
    with torch.no_grad(), evaluation_mode(model, guide), untouched_randomness(SEED), quiet:
        for start in range(0, len(data[0]), batch_size):
            batch = (t[start : start + batch_size] for t in data)
            part = split(site_terms(model, guide, *batch))
            sums = [term.sum() for term in (part.elbo, part.reconstruction, part.kl)]
            total = total + torch.stack(sums).double()
    means = (torch.as_tensor(total) / len(data[0])).tolist()
    return dict(zip(("valid_elbo", "valid_reconstruction", "valid_kl"), means, strict=True))


@contextmanager
def evaluation_mode(*programs: Callable[..., Any]) -> Iterator[None]:
    """Modules in evaluation mode (dropout off, batch norm still), each put back as it was."""
    with ExitStack() as stack:
        for program in programs:
            for module in program.modules() if isinstance(program, nn.Module) else ():
                stack.callback(setattr, module, "training", module.training)
            if isinstance(program, nn.Module):
                program.eval()
        yield
