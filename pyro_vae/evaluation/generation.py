"""What the model makes from its prior, or from latents that one chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from pyro import poutine
from torch import Tensor

from pyro_vae.terms.passes import Program

from .capacity import capacity
from .checks import count, told_in_one_line
from .inputs import parts, prepare
from .reconstruction import observation
from .sites import latent_site
from .undisturbed import undisturbed
from .unobserved import unobserved_trace


def generate(
    model: Program,
    like: Tensor,
    n: int = 64,
    *others: Tensor,
    mean: bool = True,
    site: str | None = None,
    seed: int = 0,
) -> Tensor:
    r"""Ancestral samples: :math:`z \sim p(z)`, then the mean of :math:`p(x|z)`, or a draw.

    The model itself runs, with its observations undone. What ``poutine.condition`` has fixed stays
    fixed: ``generate(poutine.condition(model, data={"z": z}), x, len(z), mean=False)`` draws x for
    each of these z.

    Args:
        model: any Pyro program, called as ``model(x, *others)``.
        like: ``(anything, *event)``: only its event shape, type and device are read.
        n: how many.
        others: further arguments of the model (labels to generate for, say), each ``(n, ...)``.
        mean: ``False`` for a draw from p(x|z) in place of its mean.
        site: the observed site, where there are several.
        seed: of the draws.

    Returns:
        ``(n, *event)``.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(z.sum(-1), 0.1), obs=x)
    >>> generate(model, torch.zeros(1), n=3).shape
    torch.Size([3])
    """
    dummies = _dummies(like, count(n, "n"))
    return _observe(model, prepare((model,), dummies, others), not mean, site, seed)


def decode(
    model: Program,
    like: Tensor,
    z: Tensor | Mapping[str, Tensor],
    *others: Tensor,
    site: str = "z",
    observed: str | None = None,
    seed: int = 0,
) -> Tensor:
    r"""The mean of :math:`p(x|z)` at latents that one chooses (``poutine.condition``).

    Args:
        model: any Pyro program, called as ``model(x, *others)``.
        like: ``(anything, *event)``: only its event shape, type and device are read.
        z: values of the latent site, ``(*batch, latent)``; flattened to one batch. Of several
            sites, a mapping from their names to values of one batch shape.
        others: further arguments of the model, each as long as that batch.
        site: the latent site that takes them, where z is a tensor; other latents are drawn from
            the model.
        observed: the observed site, where there are several.
        seed: of those draws.

    Returns:
        ``(prod(batch), *event)``.

    Raises:
        ProgramError: the model has no such latent site.
        ValueError: the values have another event shape than the site, or differ in batch shape.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         y = pyro.sample("y", dist.Normal(0.0, 1.0))
    ...         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
    ...         pyro.sample("x", dist.Normal(y + z.sum(-1), 0.1), obs=x)
    >>> y, z = torch.tensor([0.0, 10.0]), torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    >>> decode(model, torch.zeros(1), {"y": y, "z": z})
    tensor([ 1., 15.])
    """
    several = isinstance(z, Mapping)
    values: dict[str, Tensor] = dict(z) if isinstance(z, Mapping) else {site: z}
    if several and (not values or site != "z"):
        raise ValueError("a mapping names its sites itself: give at least one, and no site=")
    one = prepare((model,), _dummies(like, 1), [other[:1] for other in others])
    with undisturbed(model, seed=seed), told_in_one_line("model", one):
        trace = poutine.trace(model).get_trace(*one)
        nodes = {name: latent_site(trace, name, "model") for name in values}
    batches = {}
    for name, value in values.items():
        event, what = tuple(nodes[name]["fn"].event_shape), repr(name) if several else "z"
        lead = value.dim() - len(event)
        if lead < 0 or tuple(value.shape[lead:]) != event:
            raise ValueError(
                f"{what} has shape {tuple(value.shape)}, but one value of site {name!r} has shape "
                f"{event}"
            )
        if value.numel() == 0:
            raise ValueError(f"{what} holds no values (its shape is {tuple(value.shape)})")
        batches[name] = tuple(value.shape[:lead])
        values[name] = value.reshape(-1, *event).to(nodes[name]["value"])
    if len(set(batches.values())) > 1:
        raise ValueError(f"the values of the sites differ in batch shape: {batches}")
    dummies = _dummies(like, len(next(iter(values.values()))))
    arguments = prepare((model,), dummies, (*others, *values.values()))
    return _observe(model, arguments, False, observed, seed, [*values])


def _observe(
    model: Program,
    arguments: tuple[Tensor, ...],
    samples: bool,
    observed: str | None,
    seed: int,
    latents: Sequence[str] = (),
) -> Tensor:
    """Run the model; the last of the arguments are values of these latents."""

    def run(*part: Tensor) -> poutine.Trace:
        given, part = part[len(part) - len(latents) :], part[: len(part) - len(latents)]
        chosen = dict(zip(latents, given, strict=True))
        with told_in_one_line("model", part):
            return unobserved_trace(model, part, observed, chosen)

    with undisturbed(model, seed=seed):
        rows = capacity(run, arguments).rows(len(arguments[0]))
        done = [observation(run(*p), samples, observed, p) for p in parts(arguments, rows)]
    return torch.cat(done)


def _dummies(like: Tensor, n: int) -> Tensor:
    if not isinstance(like, Tensor) or like.dim() == 0:
        raise TypeError("like is a tensor (anything, *event) that shows the shape of one example")
    return like.new_zeros(n, *like.shape[1:])
