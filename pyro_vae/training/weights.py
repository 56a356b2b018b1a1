"""Every tensor that a run changes: parameters and buffers, of modules and of bare functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.objectives import Checkup, modules_of


class Weights:
    """Reads and writes the parameters and buffers of a model and its guide.

    A program that is a module is kept as its ``state_dict``. For a bare function these are the
    modules that it uses, and what it registers by ``pyro.param`` besides.

    Args:
        model, guide: the programs.
        found: what ``objectives.check`` found: the parameters that they register.
    """

    def __init__(
        self, model: Callable[..., Any], guide: Callable[..., Any], found: Checkup
    ) -> None:
        self.modules: dict[str, nn.Module] = {}
        for role, program in (("model", model), ("guide", guide)):
            for name, module in modules_of(program):
                self.modules[role if module is program else f"{role}.{name}"] = module
        owned = {id(p) for module in self.modules.values() for p in module.parameters()}
        registered = {**found.theta, **found.phi}
        self.loose: dict[str, Tensor] = {n: t for n, t in registered.items() if id(t) not in owned}

    def state(self) -> dict[str, Any]:
        """A copy of every value, as plain nested dicts of tensors."""
        return {
            "modules": {
                name: {key: value.detach().clone() for key, value in module.state_dict().items()}
                for name, module in self.modules.items()
            },
            "params": {name: tensor.detach().clone() for name, tensor in self.loose.items()},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Write the values back, in place.

        Raises ``ValueError`` where the state is of other programs: a name or a shape differs.
        """
        expected = {"modules": self.modules.keys(), "params": self.loose.keys()}
        for kind, names in expected.items():
            if set(state[kind]) != set(names):
                raise ValueError(
                    f"the saved state is of other programs: it holds {kind} "
                    f"{sorted(state[kind])}, these programs have {sorted(names)}"
                )
        for name, module in self.modules.items():
            try:
                module.load_state_dict(state["modules"][name])
            except RuntimeError as error:
                detail = " ".join(str(error).split("\n\t")[1:2]) or str(error)
                raise ValueError(
                    f"the saved state does not fit the {name}: {detail.strip()}"
                ) from error
        with torch.no_grad():
            for name, tensor in self.loose.items():
                if tensor.shape != state["params"][name].shape:
                    raise ValueError(
                        f"the saved param {name!r} has shape {tuple(state['params'][name].shape)}, "
                        f"this program's has {tuple(tensor.shape)}"
                    )
                tensor.copy_(state["params"][name])
