"""Whether an entry is known, by its own value."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from .base import Network
from .shapes import Shape


class SelfMasking(Network):
    r"""Logits of each entry to be known, from that entry alone.

    .. math:: \mathrm{logit}\, P(s_i = 1|x) = b_i - a_i x_i

    Args:
        inputs, outputs: event shape of x, the same twice.
        missing: which values go missing, where that is known: ``"high"`` keeps every a positive,
            ``"low"`` negative, ``"any"`` leaves it free. What one says here is what lets the
            mechanism be found.

    Shapes: ``(*batch, *inputs) -> (*batch, *inputs)``.

    Raises ``ValueError`` for two shapes that differ, or another word.

    Ipsen, Mattei and Frellsen 2021, *not-MIWAE: Deep Generative Modelling with Missing not at
    Random Data*.

    >>> network = SelfMasking(3, 3, missing="high")
    >>> logits = network(torch.tensor([-5.0, 0.0, 5.0]))
    >>> bool(logits[0] > logits[1] > logits[2])
    True
    """

    def __init__(
        self, inputs: Shape, outputs: Shape, missing: Literal["high", "low", "any"] = "any"
    ) -> None:
        super().__init__(inputs, outputs)
        if self.inputs != self.outputs:
            raise ValueError(
                "SelfMasking puts out one number for each that it takes, but inputs are "
                f"{self.inputs} and outputs {self.outputs}"
            )
        if missing not in ("high", "low", "any"):
            raise ValueError(f"missing is 'high', 'low' or 'any', not {missing!r}")
        self.missing = missing
        self.slope = nn.Parameter(torch.zeros(self.inputs))
        self.offset = nn.Parameter(torch.zeros(self.inputs))

    def forward(self, x: Tensor) -> Tensor:
        slope: Tensor = self.slope
        if self.missing != "any":
            slope = softplus(slope) if self.missing == "high" else -softplus(slope)
        return self.offset - slope * x
