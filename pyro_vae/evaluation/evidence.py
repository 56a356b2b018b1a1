"""The evidence log p(x), by importance sampling from the guide."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from pyro_vae.checks.failures import FAILURES, first_line
from pyro_vae.terms import ProgramError, site_terms
from pyro_vae.terms.passes import Program

from .capacity import capacity
from .checks import check_rows, check_weights, checked_terms, count, no_weights
from .inputs import parts, prepare
from .statistics import mean_and_error
from .undisturbed import undisturbed
from .weights import RunningWeights


@dataclass(frozen=True, eq=False)
class Evidence:
    """Importance-weighted estimates of log p(x), nats.

    Attributes:
        log_evidence: the estimate for each example, ``(n,)``.
        effective_sample_size: how many equally weighted particles each is worth, ``(n,)``, from
            1 (one particle outweighs all others: do not trust it) to ``particles``.
        particles: samples of the guide for each example.
    """

    log_evidence: Tensor = field(repr=False)
    effective_sample_size: Tensor = field(repr=False)
    particles: int

    @property
    def mean(self) -> float:
        """The mean over the examples; its negative is the usual "NLL"."""
        return mean_and_error(self.log_evidence)[0]

    @property
    def stderr(self) -> float:
        """Standard error of the mean over the examples; nan for one example."""
        return mean_and_error(self.log_evidence)[1]

    def __str__(self) -> str:
        return f"log p(x) {self.mean:.2f} ± {self.stderr:.2f} nats ({self.particles} particles)"


def log_evidence(
    model: Program,
    guide: Program,
    x: Tensor,
    *others: Tensor,
    particles: int = 5000,
    chunk: int | None = None,
    memory: int | None = None,
    vectorize: bool = True,
    seed: int = 0,
) -> Evidence:
    r"""Estimate log p(x) of each example with the guide as the importance distribution.

    .. math::
        \log p(x) \approx \log \frac1K \sum_{k=1}^K w_k, \qquad
        w_k = \frac{p(x, z_k)}{q(z_k|x)}, \quad z_k \sim q(z|x)

    In expectation it is a lower bound that rises with K. Weights are per example, whatever
    ``poutine.scale`` or subsampling scale the programs carry.

    Burda, Grosse and Salakhutdinov 2016, *Importance Weighted Autoencoders*.

    Args:
        model, guide: any Pyro programs, called as ``model(x, *others)``.
        x: ``(n, *event)``; moved to the programs' device.
        others: further arguments of both programs (labels, say), each ``(n, ...)``.
        particles: K.
        chunk: examples in one pass. Default: few, so that one run of the guide's network serves
            all or most of the K particles.
        memory: bytes that one pass may take, roughly. Default 32 MiB on a CPU (near its caches,
            where it is fastest), 1 GiB on a GPU.
        vectorize: draw many particles in one pass; ``False`` for programs whose networks do not
            take one more leading dimension (slow: a pass for each particle).
        seed: of the samples. The same seed, data, ``chunk`` and ``memory`` give the same result;
            another cut draws other random numbers, and so differs by its sampling error.

    Raises:
        ProgramError: a latent shared by all examples, sites that do not match, data outside the
            likelihood's support or nan, densities that are not finite; names the site.
        ValueError: no examples, ``particles`` or ``chunk`` below 1.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2, 0.5**0.5))   # the exact posterior
    >>> evidence = log_evidence(model, guide, torch.tensor([0.0, 2.0]), particles=10)
    >>> evidence.log_evidence, evidence.effective_sample_size
    (tensor([-1.2655, -2.2655]), tensor([10.0000, 10.0000]))
    >>> print(evidence)
    log p(x) -1.77 ± 0.50 nats (10 particles)
    """
    count(particles, "particles")
    if chunk is not None:
        count(chunk, "chunk")
    arguments = prepare((model, guide), x, others)
    n = len(x)
    with undisturbed(model, guide, seed=seed):
        room = capacity(partial(_weigh, model, guide), arguments, memory)
        for part in parts(arguments, room.rows(n)):
            why = no_weights(checked_terms(model, guide, part))
            if why is not None:
                raise ProgramError(why)
        rows, size = room.cut(n, particles if vectorize else 1, chunk)
        sizes = [min(size, particles - start) for start in range(0, particles, size)]
        done = []
        for part in parts(arguments, rows):
            running = RunningWeights()
            for k in sizes:
                running.add(_log_weights(model, guide, part, k))
            done.append((running.log_mean, running.effective_sample_size))
    estimates, sample_sizes = (torch.cat(column) for column in zip(*done, strict=True))
    return Evidence(estimates, sample_sizes, particles)


def _weigh(model: Program, guide: Program, *arguments: Tensor) -> Tensor:
    return site_terms(model, guide, *arguments).log_weights


def _log_weights(
    model: Program, guide: Program, arguments: tuple[Tensor, ...], particles: int
) -> Tensor:
    try:
        terms = site_terms(model, guide, *arguments, particles=particles)
    except FAILURES as error:
        if particles == 1 or isinstance(error, torch.OutOfMemoryError):
            raise
        # One particle ran before, so it is the added dimension.
        first = first_line(error)
        raise ProgramError(
            f"the programs cannot run {particles} particles in one pass ({first}): let their "
            "networks take any leading dimensions, or pass vectorize=False"
        ) from error
    weights = terms.log_weights
    check_weights(weights, terms)
    check_rows(weights.shape[-1], terms, len(arguments[0]))
    return weights
