"""Expected counts from what a network says."""

from __future__ import annotations

from torch import Tensor

#: What underflows stays above zero: the density's slope, count / rate, is then finite in single
#: precision for counts up to 1e8.
_LEAST = 1e-30


def expected_counts(raw: Tensor, z: Tensor, library: Tensor | None) -> Tensor:
    r"""The mean of every count, ``(*batch, *event)``.

    .. math::
        m_i = e^{f_i(z)} \quad\text{or, given the total } l, \quad
        m_i = l\, \mathrm{softmax}(f(z))_i

    Args:
        raw: the network's numbers f(z), ``(*batch, *event)``.
        z: what they were computed from, ``(*batch, latent)``.
        library: the total l of each example, positive, ``(*batch,)`` (leading dimensions may be
            absent), or ``None``.

    Raises ``ValueError`` for a library of another shape.

    >>> import torch
    >>> expected_counts(torch.zeros(1, 4), torch.zeros(1, 2), torch.tensor([20.0]))
    tensor([[5., 5., 5., 5.]])
    """
    if library is None:
        return raw.exp() + _LEAST
    batch = z.shape[:-1]
    fits = zip(reversed(library.shape), reversed(batch), strict=False)
    if library.dim() > len(batch) or not all(m in (1, n) for m, n in fits):
        raise ValueError(
            f"library is one total for each example, of shape {tuple(batch)}, not "
            f"{tuple(library.shape)}"
        )
    event = raw.shape[len(batch) :]
    share = raw.flatten(len(batch)).softmax(-1).reshape(raw.shape)
    return library.reshape(*library.shape, *(1 for _ in event)) * share + _LEAST
