"""Networks in fewer bits, log-densities in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Precision = Literal["float32", "tf32", "bf16"]
PRECISIONS = ("float32", "tf32", "bf16")

#: What layers of networks do, and densities do not.
_PRODUCTS = frozenset(
    {
        functional.linear,
        functional.bilinear,
        functional.conv1d,
        functional.conv2d,
        functional.conv3d,
        functional.conv_transpose1d,
        functional.conv_transpose2d,
        functional.conv_transpose3d,
        functional.scaled_dot_product_attention,
    }
)


class Bfloat16(TorchFunctionMode):
    """The products of linear, convolutional and attention layers in bfloat16.

    Each takes its factors rounded to 8 bits of mantissa, adds up in single precision and gives
    single precision on; everything else (activations, samplers, densities, the bound) stays as it
    is. Weights and their gradients are kept in single precision, so nothing needs a scaler.
    Under ``torch.autocast`` the densities would be computed on rounded parameters too.

    >>> x, w = torch.tensor([[1.0 + 2**-12]]), torch.ones(1, 1)
    >>> with Bfloat16():
    ...     y = functional.linear(x, w)
    >>> y, y.dtype
    (tensor([[1.]]), torch.float32)
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _PRODUCTS:
            return func(*args, **kwargs)
        few = [_rounded(value) for value in args]
        return func(*few, **{k: _rounded(v) for k, v in kwargs.items()}).float()


def check_precision(precision: str) -> None:
    """Raise ``ValueError`` for a precision that does not exist."""
    if precision not in PRECISIONS:
        names = ", ".join(map(repr, PRECISIONS))
        raise ValueError(f"precision is one of {names}, not {precision!r}")


def precise(precision: Precision) -> AbstractContextManager[Any]:
    """The context in which the programs run at this precision."""
    if precision == "bf16":
        return Bfloat16()
    return _tf32() if precision == "tf32" else nullcontext()


@contextmanager
def _tf32() -> Iterator[None]:
    """Products of matrices on NVIDIA's tensor cores, with 10 bits of mantissa."""
    before = torch.get_float32_matmul_precision()
    cudnn = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = cudnn


def _rounded(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype is torch.float32:
        return value.bfloat16()
    return value
