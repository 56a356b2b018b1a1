r"""The discrete VAE: the latent is several classes c_1 ... c_M, each one of K.

.. math:: p(x, c) = p(x|c_1, \ldots, c_M) \prod_m p(c_m) \qquad q(c|x) = \prod_m q(c_m|x)

::

    c1 ... cM ──► x      x ──► c1 ... cM
        model                guide

With estimator ``"enumerate"`` the bound is an exact sum over all :math:`K^M` codes, in one pass:
for few classes. ``"leave-one-out"`` has no bias either, and needs several particles;
``"gumbel-softmax"`` has little noise, and a bias.

Jang, Gu and Poole 2017, *Categorical Reparameterization with Gumbel-Softmax*; Mnih and Rezende
2016, *Variational Inference for Monte Carlo Objectives*.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyro
import pyro.distributions as dist
from torch import Tensor, nn

from .inputs import joined
from .registration import Program
from .semi_supervised import chosen


class Model(Program):
    """p(x, c) = p(x|c) times each p(c_m).

    Args:
        priors: for each m a ``prior() -> p(c_m)`` over one-hot vectors, such as
            ``priors.Categorical(K)``.
        likelihood: called with the one-hot codes end to end, ``(*batch, M * K)``.

    Call: ``model(x)`` with x ``(batch, *event)``; returns x (observed, or sampled under
    ``poutine.uncondition``). Sites are ``"c1"`` to ``"cM"``.

    Raises ``ValueError`` for no priors.

    >>> from pyro_vae.likelihoods import Bernoulli
    >>> from pyro_vae.networks import MLP
    >>> from pyro_vae.priors import Categorical
    >>> model = Model([Categorical(4) for _ in range(3)], Bernoulli(MLP(3 * 4, 64)))
    """

    def __init__(self, priors: Sequence[nn.Module], likelihood: nn.Module) -> None:
        super().__init__()
        if not priors:
            raise ValueError("a discrete VAE has at least one class: give a prior for each")
        self.priors = nn.ModuleList(priors)
        self.likelihood = likelihood

    def forward(self, x: Tensor) -> Tensor:
        with pyro.plate("data", len(x)):
            c = [pyro.sample(f"c{m}", prior()) for m, prior in enumerate(self.priors, 1)]
            return pyro.sample("x", self.likelihood(joined(*c)), obs=x)


class Guide(Program):
    """Each q(c_m|x), independent given x.

    Args:
        network: from x ``(batch, *event)`` to the logits of all, ``(batch, M, K)``.
        estimator: of the gradient: ``"enumerate"``, ``"leave-one-out"``, ``"gumbel-softmax"`` or
            another; ``None`` leaves it to the objective.

    Call: ``guide(x)``; returns the codes end to end, ``(batch, M * K)``.

    Raises ``ValueError`` for a network whose output is not ``(batch, M, K)``.

    >>> from pyro_vae.networks import MLP
    >>> guide = Guide(MLP(64, (3, 4)))
    """

    def __init__(self, network: nn.Module, estimator: str | None = "enumerate") -> None:
        super().__init__()
        self.network = network
        self.infer = chosen(estimator)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.network(x)
        if logits.dim() != 3:
            raise ValueError(
                f"the network puts out shape {tuple(logits.shape)}: it is (batch, codes, classes), "
                "such as that of MLP(64, (3, 4))"
            )
        with pyro.plate("data", len(x)):
            return joined(
                *(
                    pyro.sample(
                        f"c{m}", dist.OneHotCategorical(logits=row), infer=self.infer.copy()
                    )
                    for m, row in enumerate(logits.unbind(-2), 1)
                )
            )
