"""Synthetic data whose truth is known."""

from __future__ import annotations

import torch

from pyro_vae.data.dataset import Dataset
from pyro_vae.data.linear_gaussian import LinearGaussian


def linear_gaussian(
    n: int = 2000,
    *,
    features: int = 8,
    latent: int = 2,
    noise: float = 0.5,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Dataset:
    """`n` draws from a random `LinearGaussian`, which is the `truth` of the data set.

    Entries of W and of the mean are standard normal. Eight tenths of the draws train, a tenth
    each validate and test.

    Args:
        n: examples in all, at least 10.
        noise: sigma.
        dtype: of data and truth; float64 for tests of exactness.

    >>> data = linear_gaussian(100, features=3, latent=1, noise=0.1, seed=0)
    >>> data
    Dataset('linear_gaussian', real, train=(80, 3), valid=(10, 3), test=(10, 3), \
truth=LinearGaussian)
    >>> data.truth.log_evidence(data.test).shape
    torch.Size([10])
    """
    if n < 10 or features < 1 or latent < 1:
        raise ValueError(
            f"n={n}, features={features}, latent={latent}; at least 10, 1 and 1 are needed"
        )
    generator = torch.Generator().manual_seed(seed)
    double = torch.float64
    exact = LinearGaussian(
        torch.randn(features, latent, dtype=double, generator=generator),
        torch.randn(features, dtype=double, generator=generator),
        noise,
    )
    x = exact.sample(n, generator=generator).to(dtype)
    tenth = n // 10
    train, valid, test = x.split([n - 2 * tenth, tenth, tenth])
    return Dataset(
        name="linear_gaussian",
        train=train,
        valid=valid,
        test=test,
        values="real",
        source=f"synthetic: x = W z + b + noise, {latent} latents, sigma {noise:g}, seed {seed}",
        truth=exact.to(dtype=dtype),
    )
