"""The one latent-variable model whose evidence and posterior have closed forms."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, repr=False, eq=False)
class LinearGaussian:
    r"""p(z) = N(0, I), p(x|z) = N(W z + mean, sigma^2 I), and what follows exactly.

    With M = W^T W + sigma^2 I (latent x latent):

        p(x)   = N(mean, W W^T + sigma^2 I)
        p(z|x) = N(M^{-1} W^T (x - mean), sigma^2 M^{-1})

    Args:
        W: (features, latent), float32 or float64.
        mean: (features,).
        sigma: the standard deviation of the noise, positive.

    Source: Tipping and Bishop, 1999, "Probabilistic principal component analysis".

    >>> model = LinearGaussian(torch.tensor([[3.0], [0.0]]), torch.zeros(2), sigma=4.0)
    >>> mean, covariance = model.posterior(torch.tensor([[5.0, 1.0]]))
    >>> mean, covariance                                   # 3 * 5 / 25 and 16 / 25
    (tensor([[0.6000]]), tensor([[0.6400]]))
    """

    W: Tensor
    mean: Tensor
    sigma: float

    def __post_init__(self) -> None:
        if self.W.dim() != 2 or self.mean.shape != self.W.shape[:1]:
            raise ValueError(
                f"W has shape {tuple(self.W.shape)} and mean {tuple(self.mean.shape)}; "
                "(features, latent) and (features,) are needed"
            )
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"sigma={self.sigma}; a positive number is needed")

    @property
    def features(self) -> int:
        return self.W.shape[0]

    @property
    def latent(self) -> int:
        return self.W.shape[1]

    def _cholesky_of_M(self) -> Tensor:
        noise = self.sigma**2 * torch.eye(self.latent, dtype=self.W.dtype, device=self.W.device)
        return torch.linalg.cholesky(self.W.T @ self.W + noise)

    def _centred(self, x: Tensor) -> Tensor:
        if x.shape[-1:] != self.mean.shape:
            raise ValueError(f"x has shape {tuple(x.shape)}; (..., {self.features}) is needed")
        return x - self.mean

    def log_evidence(self, x: Tensor) -> Tensor:
        r"""log p(x) in nats, per example: (..., features) -> (...).

        Costs O(features * latent) an example, by the matrix inversion and determinant lemmas:
        ``log det C = (features - latent) log sigma^2 + log det M``, and
        ``d^T C^{-1} d = (|d|^2 - d^T W M^{-1} W^T d) / sigma^2``.
        """
        d = self._centred(x)
        cholesky = self._cholesky_of_M()
        whitened = torch.linalg.solve_triangular(
            cholesky, (d @ self.W).unsqueeze(-1), upper=False
        ).squeeze(-1)
        quadratic = (d.square().sum(-1) - whitened.square().sum(-1)) / self.sigma**2
        log_det = 2 * (
            cholesky.diagonal().log().sum() + (self.features - self.latent) * math.log(self.sigma)
        )
        return -0.5 * (quadratic + log_det + self.features * math.log(2 * math.pi))

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (..., latent) and covariance (latent, latent), the same for each x, of p(z|x)."""
        inverse = torch.cholesky_inverse(self._cholesky_of_M())
        return self._centred(x) @ self.W @ inverse, self.sigma**2 * inverse

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """`n` draws from p(x): (n, features)."""

        def noise(width: int) -> Tensor:
            W = self.W
            return torch.randn(n, width, generator=generator, dtype=W.dtype, device=W.device)

        return noise(self.latent) @ self.W.T + self.mean + self.sigma * noise(self.features)

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> LinearGaussian:
        """The same model on another device or in another precision."""
        return LinearGaussian(self.W.to(device, dtype), self.mean.to(device, dtype), self.sigma)

    @classmethod
    def fit(cls, x: Tensor, latent: int) -> LinearGaussian:
        r"""The maximum-likelihood model of `x`: probabilistic PCA in closed form.

        With eigenvalues l_1 >= l_2 >= ... and eigenvectors U of the covariance of x,
        sigma^2 is the mean of the discarded l_i, i > latent, and W = U_q (L_q - sigma^2 I)^{1/2}.
        Any rotation W R is as likely. Computed in float64, returned in the precision of `x`.

        Args:
            x: (n, features).
            latent: at least 1 and below `features`.

        Raises:
            ValueError: a shape is wrong, or `x` varies in no more than `latent` directions (the
                likelihood is then unbounded).
        """
        if x.dim() != 2 or not 1 <= latent < x.shape[-1]:
            raise ValueError(
                f"x has shape {tuple(x.shape)} and latent={latent}; (n, features) and "
                "1 <= latent < features are needed"
            )
        mean = x.mean(0, dtype=torch.float64)
        covariance = x.new_zeros(x.shape[1], x.shape[1], dtype=torch.float64)
        # In pieces, so that float32 data need not exist in float64 all at once.
        for rows in x.split(8192):
            d = rows.to(torch.float64) - mean
            covariance += d.T @ d / len(x)
        eigenvalues, vectors = torch.linalg.eigh(covariance)  # ascending
        variance = eigenvalues[:-latent].mean()
        if variance <= 1e-12 * eigenvalues[-1].clamp(min=1e-300):
            raise ValueError(f"x varies in no more than {latent} directions: take fewer latents")
        W = vectors[:, -latent:] * (eigenvalues[-latent:] - variance).clamp(min=0).sqrt()
        return cls(W.flip(1).to(x.dtype), mean.to(x.dtype), float(variance.sqrt()))

    def __repr__(self) -> str:
        return (
            f"LinearGaussian(features={self.features}, latent={self.latent}, sigma={self.sigma:g})"
        )
