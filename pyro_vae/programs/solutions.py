"""Maximum-likelihood solutions of the linear VAE, without a gradient step."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_vae.data import LinearGaussian

from .linear import Model


def principal_components(x: Tensor, latent: int) -> Model:
    r"""Probabilistic PCA in closed form: the linear model of greatest likelihood.

    With eigenvalues :math:`\lambda_1 \ge \lambda_2 \ge \ldots` and eigenvectors U of the
    covariance of x,

    .. math:: \sigma^2 = \frac{1}{D - L} \sum_{i > L} \lambda_i, \qquad
              W = U_L (\Lambda_L - \sigma^2 I)^{1/2}, \qquad b = \bar x.

    Any rotation of W's columns is as likely; these are orthogonal, so that a guide with independent
    latents can be exact.

    Tipping and Bishop 1999, *Probabilistic Principal Component Analysis*, section 3.2.

    Args:
        x: ``(n, features)``.
        latent: at least 1 and below ``features``.

    Returns:
        A :class:`~pyro_vae.programs.linear.Model` in the precision of x.

    Raises ``ValueError`` for such a shape, or where x varies in no more than ``latent`` directions.

    >>> x = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    >>> model = principal_components(x, latent=1)                # variances 4.5 and 0.5
    >>> model.W.data.abs(), model.log_scale.data.mul(2).exp()
    (tensor([[2.],
            [0.]]), tensor(0.5000))
    """
    found = LinearGaussian.fit(x, latent)
    model = Model(x.shape[1], latent).to(x)
    with torch.no_grad():
        model.W.copy_(found.W)
        model.b.copy_(found.mean)
        model.log_scale.fill_(found.sigma).log_()
    return model


def factor_analysis(
    x: Tensor, latent: int, iterations: int = 1000, tolerance: float = 1e-10
) -> Model:
    r"""Factor analysis by expectation-maximisation; it has no closed form.

    From the covariance S of x, with :math:`\beta = W^\top (W W^\top + \Psi)^{-1}`,

    .. math:: W \leftarrow S \beta^\top (I - \beta W + \beta S \beta^\top)^{-1}, \qquad
              \Psi \leftarrow \mathrm{diag}(S - W \beta S).

    Each turn raises the likelihood. It starts from the principal components.

    Rubin and Thayer 1982, *EM Algorithms for ML Factor Analysis*.

    Args:
        x: ``(n, features)``.
        latent: at least 1 and below ``features``.
        iterations: at most so many turns.
        tolerance: stop where a turn changes no noise variance by more than this part.

    Returns:
        A :class:`~pyro_vae.programs.linear.Model` with ``noise="per-feature"``, W's columns
        orthogonal under the noise, computed in float64 and returned in the precision of x.

    Raises ``ValueError`` as :func:`principal_components`, and for a feature that never varies.

    >>> _ = torch.manual_seed(0)
    >>> z, noise = torch.randn(9000, 1), torch.randn(9000, 5)
    >>> x = z + noise * torch.tensor([0.5, 1.0, 2.0, 1.0, 1.0])
    >>> factor_analysis(x, latent=1).log_scale.exp().data.round(decimals=1)
    tensor([0.5000, 1.0000, 2.0000, 1.0000, 1.0000])
    """
    if iterations < 1:
        raise ValueError(f"iterations is at least 1, not {iterations}")
    first = principal_components(x.double(), latent)
    mean = first.b.detach()
    centred = x.double() - mean
    S = centred.mT @ centred / len(x)
    least = 1e-8 * S.diagonal()  # a noise variance that falls to 0 would stay there
    if not (least > 0).all():
        feature = int((least <= 0).nonzero()[0])
        raise ValueError(f"feature {feature} of x never varies: leave it out")
    W = first.W.detach()
    psi = torch.maximum(S.diagonal() - W.square().sum(1), least)
    identity = torch.eye(latent, dtype=W.dtype, device=W.device)
    for _ in range(iterations):
        precision = identity + (W / psi[:, None]).mT @ W
        beta = torch.linalg.solve(precision, (W / psi[:, None]).mT)
        cross = S @ beta.mT
        W = torch.linalg.solve(identity - beta @ W + beta @ cross, cross, left=False)
        before, psi = psi, torch.maximum(S.diagonal() - (W * cross).sum(1), least)
        if ((psi - before).abs() <= tolerance * before).all():
            break
    # Of all rotations that are as likely, the one with independent latents in the posterior.
    _, _, rotation = torch.linalg.svd(W / psi.sqrt()[:, None], full_matrices=False)
    model = Model(x.shape[1], latent, noise="per-feature").to(x)
    with torch.no_grad():
        model.W.copy_(W @ rotation.mT)
        model.b.copy_(mean)
        model.log_scale.copy_(psi.log() / 2)
    return model
