"""What stood in the entries that are missing."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from pyro_vae.terms.passes import Program

from .checks import count, raise_for_nan
from .imputing import Draws, WeightedMean, run


def impute(
    model: Program,
    guide: Program,
    x: Tensor,
    mask: Tensor | None = None,
    *others: Tensor,
    particles: int = 1000,
    site: str = "x",
    memory: int | None = None,
    vectorize: bool = True,
    seed: int = 0,
) -> Tensor:
    r"""Single imputation: x with the mean of each missing entry given the known ones.

    .. math::
        E[x_{\mathrm{mis}}|x_{\mathrm{obs}}] \approx \sum_k \tilde w_k\, E[x_{\mathrm{mis}}|z_k],
        \qquad \tilde w_k \propto \frac{p(x_{\mathrm{obs}}, z_k)}{q(z_k|x_{\mathrm{obs}})},
        \quad z_k \sim q(z|x_{\mathrm{obs}})

    by self-normalised importance sampling: right for any guide, as particles grow in number. It is
    the guess of least squared error. Where the missing entries are latents of their own
    (:mod:`pyro_vae.programs.not_at_random`), their values take the place of E[x_mis|z], and the
    weights hold p(s|x) as well. The mean of a label is not a label: for those take the commonest of
    :func:`multiple_imputations`.

    Mattei and Frellsen 2019, *MIWAE: Deep Generative Modelling and Imputation of Incomplete Data
    Sets*; Ipsen, Mattei and Frellsen 2021, *not-MIWAE*.

    Args:
        model, guide: Pyro programs that leave missing entries out, such as those of
            :mod:`pyro_vae.programs.missing`; called as ``model(x)`` where ``mask`` is ``None``,
            else ``model(x, mask, *others)``.
        x: ``(n, *event)``; without a mask, nan is missing.
        mask: boolean, of the shape of x, ``True`` where an entry is known (and not nan).
        others: further arguments of both programs, each ``(n, ...)``.
        particles: K.
        site: the observed site of x; its missing entries may be a latent ``f"{site}_missing"``.
        memory, vectorize: as in :func:`log_evidence`.
        seed: of the samples.

    Returns:
        ``(n, *event)``: the known entries as they were. A row of which nothing is known is imputed
        from the model's own distribution, after one warning.

    Raises:
        ProgramError: the programs look at entries that the mask calls missing, no such site, known
            entries outside the likelihood's support or infinite, no mean in closed form, nan.
        TypeError, ValueError: a mask that is not boolean, or of another shape than x.

    >>> import pyro, pyro.distributions as dist, torch
    >>> def model(x, mask):                    # two numbers that share their mean
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         p = dist.Normal(z[..., None].expand(*z.shape, 2), 1.0).mask(mask)
    ...         pyro.sample("x", p.to_event(1), obs=x)
    >>> def guide(x, mask):                    # exact where the first one is known
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x[:, 0] / 2, 0.5**0.5))
    >>> x, mask = torch.tensor([[4.0, 0.0]]), torch.tensor([[True, False]])
    >>> impute(model, guide, x, mask, particles=40_000).round(decimals=1)
    tensor([[4., 2.]])
    """
    found = run(
        model, guide, x, mask, others, count(particles, "particles"), site, memory, vectorize, seed,
        WeightedMean, mean=True,
    )  # fmt: skip
    raise_for_nan(found, "an imputed entry", (found[:0],))
    return found


def multiple_imputations(
    model: Program,
    guide: Program,
    x: Tensor,
    mask: Tensor | None = None,
    *others: Tensor,
    draws: int = 10,
    particles: int = 1000,
    site: str = "x",
    memory: int | None = None,
    vectorize: bool = True,
    seed: int = 0,
) -> Tensor:
    r"""Multiple imputation: several copies of x whose missing entries were drawn.

    .. math:: x_{\mathrm{mis}} \sim p(x_{\mathrm{mis}}|x_{\mathrm{obs}})

    by sampling importance resampling: K pairs of a latent and an x drawn given it, of which
    ``draws`` are drawn again (with replacement) by the weights of :func:`impute`. Their spread says
    how little is known, which a single imputation hides; analyse each copy, and pool.

    Rubin 1987, *Multiple Imputation for Nonresponse in Surveys*; Mattei and Frellsen 2019, *MIWAE*.

    Args:
        draws: how many copies; many fewer than ``particles``, or they repeat one another.
        model, guide, x, mask, others, particles, site, memory, vectorize, seed: as in
            :func:`impute`.

    Returns:
        ``(draws, n, *event)``.

    Raises:
        ProgramError, TypeError, ValueError: as :func:`impute`, but that no mean is needed.

    >>> import pyro, pyro.distributions as dist, torch
    >>> def model(x, mask):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         p = dist.Normal(z[..., None].expand(*z.shape, 2), 1.0).mask(mask)
    ...         pyro.sample("x", p.to_event(1), obs=x)
    >>> def guide(x, mask):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x[:, 0] / 2, 0.5**0.5))
    >>> x, mask = torch.tensor([[4.0, 0.0]]), torch.tensor([[True, False]])
    >>> copies = multiple_imputations(model, guide, x, mask, draws=3, particles=100)
    >>> copies.shape, copies[:, 0, 0]
    (torch.Size([3, 1, 2]), tensor([4., 4., 4.]))
    """

    def picks() -> Any:
        return Draws(count(draws, "draws"))

    return run(
        model, guide, x, mask, others, count(particles, "particles"), site, memory, vectorize, seed,
        picks, mean=False,
    )  # fmt: skip
