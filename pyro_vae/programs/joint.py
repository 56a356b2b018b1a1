"""A model's joint density as a plain function, for guides that use the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.poutine.runtime import _DIM_ALLOCATOR
from pyro.poutine.util import prune_subsample_sites
from torch import Tensor


def log_joint(
    model: Callable[..., Any],
    site: str = "z",
    arguments: Callable[[Tensor], tuple[Any, ...]] | None = None,
) -> LogJoint:
    r"""log p(x, z) of any model, as a function of x and z.

    Args:
        model: a Pyro program, called as ``model(x, *context)``, with its examples in one plate.
        site: the name of its latent.
        arguments: makes the model's arguments, x and its context, of what the posterior sees where
            that is something else, such as x and a label in one tensor.

    >>> import pyro, torch
    >>> import pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> log_joint(model)(torch.zeros(3), torch.zeros(2, 3)).shape     # two z for each x
    torch.Size([2, 3])
    """
    return LogJoint(model, site, arguments)


class LogJoint:
    """What :func:`log_joint` returns.

    Not a module, so that theta stays the model's alone in a guide that holds it; an object, so that
    ``copy.deepcopy(VAE(model, guide))`` gives the copied guide the copied model.

    Call: ``(x, z, *context)`` with x ``(n, *event)`` and z ``(*samples, n, latent)``; returns nats
    of each sample and example, ``(*samples, n)``, masked but not scaled. It may be called anywhere,
    also inside a guide: no effect handler and no plate outside sees what the model does here.

    Raises ``ValueError`` where the model has no such site, another latent, or a site that is not in
    one plate alone: then log p(x, z) is not one number for each example.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        site: str = "z",
        arguments: Callable[[Tensor], tuple[Any, ...]] | None = None,
    ) -> None:
        self.model = model
        self.site = site
        self.arguments = arguments

    def __call__(self, x: Tensor, z: Tensor, *context: Any) -> Tensor:
        if self.arguments is not None:
            x, *own = self.arguments(x)
            context = (*own, *context)
        conditioned = poutine.condition(self.model, data={self.site: z})
        with _no_plates(), poutine.block():
            trace = prune_subsample_sites(poutine.trace(conditioned).get_trace(x, *context))
        if self.site not in trace.nodes:
            raise ValueError(
                f"the model has no site {self.site!r}: name its latent, log_joint(site=)"
            )
        total: Tensor | float = 0.0
        nodes: dict[str, Any] = dict(trace.nodes)
        for name, node in nodes.items():
            if node["type"] == "sample" and not node["infer"].get("_deterministic"):
                total = total + _rows(name, node)
        assert isinstance(total, Tensor)
        return total


def _rows(name: str, site: Any) -> Tensor:
    if not site["is_observed"]:
        raise ValueError(f"the model draws {name!r} besides: log_joint is for one latent site")
    if [frame.dim for frame in site["cond_indep_stack"]] != [-1]:
        raise ValueError(
            f"site {name!r} of the model is not in one plate alone, that of the examples, so "
            "log p(x, z) is not one number for each: put other dimensions into the event"
        )
    value = site["fn"].log_prob(site["value"], *site["args"], **site["kwargs"])
    return scale_and_mask(value, 1.0, site["mask"])


@contextmanager
def _no_plates() -> Iterator[None]:
    """Let the model use the dimensions, and names, of the plates that it is called in."""
    outside = _DIM_ALLOCATOR._stack
    _DIM_ALLOCATOR._stack = []
    try:
        yield
    finally:
        _DIM_ALLOCATOR._stack = outside
