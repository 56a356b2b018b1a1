"""What the programs make of data: encoded by the guide, decoded by the model."""

from __future__ import annotations

from functools import partial

import torch
from pyro import poutine
from torch import Tensor

from pyro_vae.terms import ProgramError, site_terms
from pyro_vae.terms.kl import family
from pyro_vae.terms.passes import Program

from .capacity import capacity
from .checks import checked_terms, raise_for_nan
from .inputs import parts, prepare
from .sites import mean_of, observed_site
from .undisturbed import undisturbed
from .unobserved import unobserved_trace


def reconstruct(
    model: Program,
    guide: Program,
    x: Tensor,
    *others: Tensor,
    samples: bool = False,
    site: str | None = None,
    seed: int = 0,
) -> Tensor:
    r"""Draw :math:`z \sim q(z|x)` and return the mean of :math:`p(x|z)`, or a sample.

    The guide is traced and the model replayed against it: the programs that were trained, and
    no others.

    Args:
        model, guide: any Pyro programs, called as ``model(x, *others)``.
        x: ``(n, *event)``; moved to the programs' device.
        others: further arguments of both programs, each ``(n, ...)``.
        samples: a draw from p(x|z) in place of its mean.
        site: the observed site, where there are several.
        seed: of the draws.

    Returns:
        ``(n, *event)``.

    Raises:
        ProgramError: sites that do not match, several observed sites, no closed-form mean, nan.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(2 * z, 0.1), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Delta(x / 2))
    >>> reconstruct(model, guide, torch.tensor([0.0, 3.0]))
    tensor([0., 3.])
    """
    arguments = prepare((model, guide), x, others)
    with undisturbed(model, guide, seed=seed):
        room = capacity(partial(site_terms, model, guide), arguments)
        done = [
            _reconstruct(model, guide, part, samples, site)
            for part in parts(arguments, room.rows(len(x)))
        ]
    return torch.cat(done)


def _reconstruct(
    model: Program, guide: Program, arguments: tuple[Tensor, ...], samples: bool, site: str | None
) -> Tensor:
    terms = checked_terms(model, guide, arguments, densities=False)
    model_trace, guide_trace = terms.traces[0]
    if samples:
        program = poutine.replay(model, trace=guide_trace)
        model_trace = unobserved_trace(program, arguments, site)
    return observation(model_trace, samples, site, arguments)


def observation(
    trace: poutine.Trace, samples: bool, site: str | None, arguments: tuple[Tensor, ...]
) -> Tensor:
    """The sample, or the mean, at a trace's observed site."""
    observed = observed_site(trace, site)
    value = observed["value"] if samples else mean_of(observed)
    if value is None:
        raise ProgramError(
            f"site {observed['name']!r} ({family(observed['fn'])}) has no mean in closed form: "
            "take a sample of it instead"
        )
    raise_for_nan(value, f"the value at site {observed['name']!r}", arguments)
    return value
