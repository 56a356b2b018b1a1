"""Reads of a tensor's value while a program is staged, where an answer needs no value."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from .staging_error import asking, refuse

#: Reads of memory that no dispatcher sees.
_BYPASSES = {
    getattr(Tensor, name): name
    for name in (
        "tolist", "numpy", "data_ptr", "__array__", "__dlpack__", "__deepcopy__", "__repr__",
        "__format__", "__reduce_ex__",
    )
}  # fmt: skip
#: Reads that an estimator's own code may make: what it returns does not depend on the answer.
_READS = (Tensor.item, Tensor.__bool__, Tensor.__float__, Tensor.masked_select)
FINITE_CHECKS = ("warn_if_nan", "warn_if_inf")
_ESTIMATORS = (
    *("pyro.infer.", "pyro.util", "pyro.distributions.util"),
    *("pyro_vae.terms.", "pyro_vae.estimators.", "pyro_vae.objectives."),
)


class Reads(TorchFunctionMode):
    """Keeps numbers that only the estimators read as tensors, and refuses reads of raw memory."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.one_hot:
            return _one_hot(*args, **kwargs)
        if func in _BYPASSES:
            raise refuse(f"a tensor's value is read ({_BYPASSES[func]})")
        if func in _READS:
            module, function = asking()
            if module.startswith(_ESTIMATORS):
                return _estimator_read(func, function, args, kwargs)
        return func(*args, **kwargs)


def _estimator_read(func: Any, function: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if func is Tensor.item and function.startswith("is_identically_"):
        return float("nan")  # "not known to be": the general way is taken
    if func is Tensor.item:
        return args[0].detach()  # only added up and returned
    if func is Tensor.__bool__ and function in FINITE_CHECKS:
        return False
    # DiCE leaves out what has no probability. "Not all have any" is the general way.
    if func is Tensor.__bool__ and function == "compute_expectation":
        return False
    if func is Tensor.masked_select and function == "compute_expectation":
        return torch.where(args[1], args[0], torch.zeros_like(args[0]))  # it is summed next
    if func is Tensor.__float__ and function == "_get_common_scale":
        return 1.0  # compared, not used; the run before this one has compared them
    return func(*args, **kwargs)


def _one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """The library's own asks for the greatest value first."""
    if num_classes < 0:
        raise refuse("one_hot without num_classes reads a tensor's value")
    classes = torch.arange(num_classes, device=tensor.device)
    return (tensor.unsqueeze(-1) == classes).long()
