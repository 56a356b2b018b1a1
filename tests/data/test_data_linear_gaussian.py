"""The closed forms against torch's Gaussian, against integration, and against known optima."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from pyro_vae.data import LinearGaussian, linear_gaussian

DOUBLE = torch.float64


def model(features: int = 5, latent: int = 2, sigma: float = 0.7) -> LinearGaussian:
    g = torch.Generator().manual_seed(2)
    return LinearGaussian(
        torch.randn(features, latent, dtype=DOUBLE, generator=g),
        torch.randn(features, dtype=DOUBLE, generator=g),
        sigma,
    )


def covariance(m: LinearGaussian) -> torch.Tensor:
    return m.W @ m.W.T + m.sigma**2 * torch.eye(m.features, dtype=m.W.dtype)


@pytest.mark.parametrize(("features", "latent"), [(5, 2), (1, 1), (3, 4), (40, 3)])
def test_log_evidence_is_the_marginal_gaussian(features, latent):
    m = model(features, latent)
    x = torch.randn(3, 7, features, dtype=DOUBLE)
    exact = MultivariateNormal(m.mean, covariance(m)).log_prob(x)
    torch.testing.assert_close(m.log_evidence(x), exact, rtol=1e-10, atol=1e-10)


def test_log_evidence_and_posterior_by_numerical_integration():
    m = model(features=3, latent=1, sigma=0.4)
    x = m.sample(4, generator=torch.Generator().manual_seed(0))
    z = torch.linspace(-12, 12, 20_001, dtype=DOUBLE)
    prior = Normal(torch.zeros((), dtype=DOUBLE), 1.0).log_prob(z)
    decoded = z[:, None] @ m.W.T + m.mean
    joint = prior + Normal(decoded, m.sigma).log_prob(x[:, None]).sum(-1)  # (4, grid)
    step = float(z[1] - z[0])
    log_evidence = joint.logsumexp(-1) + math.log(step)
    torch.testing.assert_close(m.log_evidence(x), log_evidence, rtol=0, atol=1e-10)
    weights = (joint - joint.logsumexp(-1, keepdim=True)).exp()
    mean, cov = m.posterior(x)
    torch.testing.assert_close(mean[:, 0], weights @ z, rtol=0, atol=1e-10)
    variance = weights @ z.square() - (weights @ z).square()
    torch.testing.assert_close(variance, cov[0].expand(4), rtol=0, atol=1e-9)


def test_bayes_rule_holds_at_every_latent():
    m = model()
    x = torch.randn(6, 5, dtype=DOUBLE)
    z = torch.randn(6, 2, dtype=DOUBLE)
    mean, cov = m.posterior(x)
    log_q = MultivariateNormal(mean, cov).log_prob(z)
    log_p = Normal(torch.zeros((), dtype=DOUBLE), 1.0).log_prob(z).sum(-1)
    log_p = log_p + Normal(z @ m.W.T + m.mean, m.sigma).log_prob(x).sum(-1)
    torch.testing.assert_close(log_p - log_q, m.log_evidence(x), rtol=1e-10, atol=1e-10)


def test_samples_have_the_mean_and_covariance_of_the_model():
    m = model(sigma=0.3)
    n = 100_000
    x = m.sample(n, generator=torch.Generator().manual_seed(0))
    C = covariance(m)
    # Var of a sample covariance of Gaussians: (C_ii C_jj + C_ij^2) / n.
    error = ((torch.outer(C.diagonal(), C.diagonal()) + C.square()) / n).sqrt()
    assert ((torch.cov(x.T) - C).abs() <= 4.5 * error).all()
    assert ((x.mean(0) - m.mean).abs() <= 4.5 * (C.diagonal() / n).sqrt()).all()


def test_fit_reaches_the_maximum_likelihood_of_tipping_and_bishop():
    x = model(features=6, latent=2).sample(300, generator=torch.Generator().manual_seed(1))
    q, D = 2, 6
    fitted = LinearGaussian.fit(x, q)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    assert fitted.sigma**2 == pytest.approx(float(eigenvalues[q:].mean()), rel=1e-12)
    # At the optimum the trace term is D, whatever the data.
    log_det = eigenvalues[:q].log().sum() + (D - q) * math.log(fitted.sigma**2)
    best = -0.5 * (D * math.log(2 * math.pi) + float(log_det) + D)
    mean = float(fitted.log_evidence(x).mean())
    assert mean == pytest.approx(best, abs=1e-10)
    g = torch.Generator().manual_seed(0)
    for _ in range(20):
        nudged = LinearGaussian(
            fitted.W + 0.05 * torch.randn(D, q, dtype=DOUBLE, generator=g),
            fitted.mean + 0.05 * torch.randn(D, dtype=DOUBLE, generator=g),
            fitted.sigma * math.exp(0.05 * float(torch.randn((), generator=g))),
        )
        assert float(nudged.log_evidence(x).mean()) < mean


def test_fit_agrees_with_scikit_learn():
    from sklearn.decomposition import PCA

    x = model(features=6, latent=3).sample(200, generator=torch.Generator().manual_seed(1))
    pca = PCA(3, svd_solver="full").fit(x.numpy())
    ours = LinearGaussian.fit(x, 3)
    # scikit-learn divides by n - 1, maximum likelihood by n.
    expected = torch.tensor(pca.get_covariance() * 199 / 200)
    torch.testing.assert_close(covariance(ours), expected, rtol=1e-9, atol=1e-9)


def test_fit_in_pieces_and_in_float32_is_the_same_fit():
    x = model().sample(20_000, generator=torch.Generator().manual_seed(1))  # several pieces
    whole, single = LinearGaussian.fit(x, 2), LinearGaussian.fit(x.float(), 2)
    assert single.W.dtype == torch.float32
    exact = torch.linalg.eigvalsh(torch.cov(x.T, correction=0))[:-2].mean()
    assert whole.sigma**2 == pytest.approx(float(exact), rel=1e-12)
    assert single.sigma == pytest.approx(whole.sigma, rel=1e-6)


def test_linear_gaussian_is_seeded_and_split():
    data = linear_gaussian(105, features=4, latent=2, noise=0.3, seed=1, dtype=DOUBLE)
    again = linear_gaussian(105, features=4, latent=2, noise=0.3, seed=1, dtype=DOUBLE)
    other = linear_gaussian(105, features=4, latent=2, noise=0.3, seed=2, dtype=DOUBLE)
    assert [len(x) for x in (data.train, data.valid, data.test)] == [85, 10, 10]
    assert torch.equal(data.train, again.train) and not torch.equal(data.train, other.train)
    assert data.train.dtype == data.truth.W.dtype == DOUBLE
    assert repr(data.truth) == "LinearGaussian(features=4, latent=2, sigma=0.3)"
    assert linear_gaussian(20).truth.log_evidence(linear_gaussian(20).test).dtype == torch.float32


BAD = {
    "sigma": (lambda: LinearGaussian(torch.ones(2, 1), torch.ones(2), 0.0), "sigma=0.0; a posi"),
    "mean": (lambda: LinearGaussian(torch.ones(2, 1), torch.ones(3), 1.0), r"mean \(3,\)"),
    "x": (lambda: model().log_evidence(torch.ones(2, 4, dtype=DOUBLE)), r"\(\.\.\., 5\) is needed"),
    "latent": (lambda: LinearGaussian.fit(torch.rand(9, 3), 3), "latent=3; .* latent < features"),
    "x of fit": (lambda: LinearGaussian.fit(torch.rand(9), 1), r"shape \(9,\)"),
    "rank": (
        lambda: LinearGaussian.fit(torch.rand(20, 1) * torch.ones(4), 2),
        "no more than 2 directions",
    ),
    "constant": (lambda: LinearGaussian.fit(torch.ones(20, 4), 2), "no more than 2 directions"),
    "n": (lambda: linear_gaussian(9), "n=9"),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("latent", "on_train", "on_test"),
    [(2, 12.43, 14.36), pytest.param(10, 182.15, 186.02, marks=pytest.mark.slow)],
)
def test_probabilistic_pca_of_mnist(data_folder, latent, on_train, on_test):
    """Exact mean log-likelihoods of all 60,000 training images and of the test set, in nats."""
    path = data_folder / "mnist" / "mnist.npz"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    with np.load(path, allow_pickle=False) as arrays:
        x = torch.from_numpy(arrays["x_train"]).reshape(-1, 784).float().div_(255)
        test = torch.from_numpy(arrays["x_test"]).reshape(-1, 784).to(DOUBLE).div_(255)
    m = LinearGaussian.fit(x, latent)
    assert float(m.log_evidence(x).mean(dtype=DOUBLE)) == pytest.approx(on_train, abs=0.006)
    exact = m.to(dtype=DOUBLE).log_evidence(test)
    assert float(exact.mean()) == pytest.approx(on_test, abs=0.006)
