"""No amortisation, and with it the amortisation gap of an encoder that sees too little."""

from __future__ import annotations

import copy

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, kl_divergence

from pyro_vae import ELBO, fit
from pyro_vae.data import LinearGaussian
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal, PerExample
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae


class Known(nn.Module):
    """p(x|z) of the truth, with nothing to learn."""

    def __init__(self, truth: LinearGaussian) -> None:
        super().__init__()
        self.truth = truth

    def forward(self, z: Tensor):
        return dist.Normal(z @ self.truth.W.T + self.truth.mean, self.truth.sigma).to_event(1)


class FirstFeature(nn.Module):
    """An encoder that sees one feature of x."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 2 * latent)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x[..., :1])


def test_the_amortisation_gap_is_measured():
    W = torch.tensor([[1.0, 0.5], [0.3, -1.2], [-0.8, 0.4]], dtype=torch.float64)
    truth = LinearGaussian(W, torch.zeros(3, dtype=torch.float64), sigma=0.8)
    x = truth.sample(60, generator=torch.Generator().manual_seed(0))
    mean, covariance = truth.posterior(x)
    precision = covariance.inverse()

    def gap(q: Independent) -> Tensor:
        """log p(x) - ELBO = KL(q || p(z|x)), exactly."""
        full = MultivariateNormal(q.mean, torch.diag_embed(q.variance))
        return kl_divergence(full, MultivariateNormal(mean, covariance))

    # What no independent normals can avoid; and, besides it, what an affine encoder of the first
    # feature cannot: the means of the exact posterior that least squares leave over.
    family = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    seen = torch.stack([torch.ones(60, dtype=torch.float64), x[:, 0]], -1)
    left = mean - seen @ torch.linalg.lstsq(seen, mean).solution
    amortisation = 0.5 * torch.einsum("ni,ij,nj->n", left, precision, left).mean()
    assert amortisation > 0.3

    torch.manual_seed(0)
    model = vae.Model(StandardNormal(2).double(), Known(truth))
    own = vae.Guide(PerExample(2, examples=60).double())
    shared = vae.Guide(DiagonalNormal(FirstFeature(2)).double())
    index = torch.arange(60)
    options = {"objective": ELBO(particles=32), "epochs": 150, "batch_size": 60, "lr": 0.1}
    fit(model, own, (x, index), progress=False, **options)
    fit(model, shared, x, progress=False, **options)
    with torch.no_grad():
        found = gap(own.posterior(x, index)).mean()
        amortised = gap(shared.posterior(x)).mean()
    # Both optima are flat to first order, so what the noise of Adam's last steps leaves is small;
    # the optima themselves are bounds that nothing can cross.
    assert family - 1e-9 <= found < family + 0.005
    assert family + amortisation - 1e-9 <= amortised < family + amortisation + 0.02


def test_each_example_has_its_own_row():
    posterior = PerExample(2, examples=5).double()
    with torch.no_grad():
        posterior.loc.copy_(torch.arange(10.0).reshape(5, 2))
    x, index = torch.zeros(3, 4), torch.tensor([4, 0, 4])
    q = posterior(x, index)
    assert q.mean.tolist() == [[8.0, 9.0], [0.0, 1.0], [8.0, 9.0]]
    assert q.stddev.unique().item() == pytest.approx(0.6931482, abs=1e-6)  # softplus(0) + 1e-6
    assert posterior(x.expand(2, 3, 4), index.expand(2, 3)).batch_shape == (2, 3)
    q.log_prob(torch.zeros(3, 2)).sum().backward()
    assert posterior.loc.grad.abs().sum(-1).bool().tolist() == [True, False, False, False, True]
    twin = copy.deepcopy(posterior)
    twin.load_state_dict(PerExample(2, examples=5).double().state_dict())
    assert twin(x, index).mean.abs().max() == 0 and posterior(x, index).mean.max() == 9


def test_mini_batches_and_particles():
    torch.manual_seed(0)
    x = (torch.rand(10, 6) < 0.5).float()
    model = vae.Model(StandardNormal(2), Bernoulli(MLP(2, 6, [4])))
    guide = vae.Guide(PerExample(2, examples=10))
    before = guide.posterior.loc.clone()
    data = (x, torch.arange(10))
    fit(model, guide, data, epochs=2, batch_size=4, objective=ELBO(particles=3), progress=False)
    assert (guide.posterior.loc != before).all()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: PerExample(2, examples=0), ValueError, "at least 1"),
        (lambda: PerExample(0, examples=3), ValueError, "at least 1"),
        (lambda: PerExample(2, 3)(torch.zeros(3, 4)), ValueError, r"with \(x, index\)"),
        (lambda: PerExample(2, 3)(torch.zeros(3, 4), torch.zeros(3)), TypeError, "integers"),
        (
            lambda: PerExample(2, 3)(torch.zeros(3, 4), torch.arange(2)),
            ValueError,
            "one number for each example",
        ),
        (lambda: PerExample(2, 3)(torch.zeros(1, 4), torch.tensor([3])), IndexError, "range"),
        (lambda: PerExample(2, 3)(torch.zeros(1, 4), torch.tensor([-1])), IndexError, "range"),
    ],
)
def test_bad_use_is_told_in_one_line(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
