"""What was learned about the programs in an eager run."""

from __future__ import annotations

from collections.abc import Sequence

import pyro
from torch import Tensor

from .readable import Readable


class Registered:
    """Which tensors Pyro's param store holds under which names."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        name = pyro.get_param_store().param_name
        self._names = [(name(tensor), tensor) for tensor in tensors if name(tensor) is not None]

    def moved(self) -> str | None:
        """A param that is another tensor now, in words."""
        stored = pyro.get_param_store().named_parameters().mapping  # type: ignore[attr-defined]
        for name, tensor in self._names:
            if stored.get(name) is not tensor:
                return f"param {name!r}"
        return None


class Met:
    """Arguments that were met, in an eager run."""

    def __init__(self, leaves: Sequence[Tensor], readable: Readable, times: int) -> None:
        self.leaves, self.readable, self.times = list(leaves), readable, times
        self._registered = Registered(self.leaves)

    def moved(self) -> str | None:
        """What has become another thing since."""
        return self._registered.moved() or self.readable.moved()
