"""The model's joint density, for posteriors that use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pyro import poutine
from torch import Tensor

from pyro_vae.programs import LogJoint, log_joint


def joint_of_model(arguments: Callable[[Tensor], tuple[Any, ...]] | None = None) -> LogJoint:
    """log p(x, z) of a model that there is not yet: set ``model`` when it is made.

    The model may hold in its prior the very posterior that asks for the density.
    """
    return log_joint(_no_model, arguments=arguments)


@dataclass(frozen=True)
class WithClass:
    """A model with its class y given: log p(x, y, z) is that of z and x, but for a constant.

    An object and no closure, so that it is pickled and copied with the model.
    """

    model: Any

    def __call__(self, x: Tensor, y: Tensor) -> Any:
        return poutine.condition(self.model, data={"y": y})(x)


def _no_model(x: Tensor, *context: Tensor) -> None:
    raise ValueError("the joint density is asked for before there is a model")
