"""Every tensor that a run changes: parameters and buffers, of modules and of bare functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pyro_vae.checks import Checkup, modules_of


class Weights:
    """Reads and writes the parameters and buffers of a model and its guide.

    A program that is a module is kept as its ``state_dict``. For a bare function these are the
    modules that it uses by name, what it registers by ``pyro.param`` besides, and the buffers and
    frozen parameters of the modules that it calls in other ways.

    Args:
        model, guide: the programs.
        found: what ``checks.check`` found: the parameters that they register.
        called: modules that run when the programs do.
        objective: where it is ours; its weights, multipliers and critic are kept, too.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        found: Checkup,
        called: Iterable[nn.Module] = (),
        objective: Any = None,
    ) -> None:
        self.modules: dict[str, nn.Module] = {}
        for role, program in (("model", model), ("guide", guide)):
            for name, module in modules_of(program):
                self.modules[role if module is program else f"{role}.{name}"] = module
        if isinstance(objective, nn.Module):
            self.modules["objective"] = objective
        self.registered: dict[str, Tensor] = {**found.theta, **found.phi}
        self.called = list(called)

    def loose(self) -> dict[str, Tensor]:
        """The tensors that no module of the programs holds, by name."""
        states = [module.state_dict(keep_vars=True) for module in self.modules.values()]
        owned = {id(tensor) for state in states for tensor in state.values()}
        found = {name: t for name, t in self.registered.items() if id(t) not in owned}
        owned |= {id(tensor) for tensor in found.values()}
        for number, module in enumerate(self.called):
            for name, tensor in module.state_dict(keep_vars=True).items():
                if id(tensor) not in owned:
                    found[f"{type(module).__name__} {number}.{name}"] = tensor
        return found

    def state(self) -> dict[str, Any]:
        """A copy of every value, as plain nested dicts of tensors."""
        return {
            "modules": {
                name: {key: value.detach().clone() for key, value in module.state_dict().items()}
                for name, module in self.modules.items()
            },
            "params": {name: tensor.detach().clone() for name, tensor in self.loose().items()},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Write the values back, in place.

        Raises ``ValueError``, and writes nothing, where the state is of other programs: a name, a
        shape or a type differs.
        """
        loose = self.loose()
        _check_names("the programs", "modules", state["modules"], self.modules)
        _check_names("the programs", "params", state["params"], loose)
        for name, module in self.modules.items():
            here = module.state_dict()
            _check_names(f"the {name}", "tensors", state["modules"][name], here)
            _check_shapes(f"the {name}", state["modules"][name], here)
        _check_shapes("the programs", state["params"], loose)
        for name, module in self.modules.items():
            module.load_state_dict(state["modules"][name])
        with torch.no_grad():
            for name, tensor in loose.items():
                tensor.copy_(state["params"][name])

    def nonfinite(self) -> Iterator[str]:
        """Names of the registered parameters that hold NaN or an infinity."""
        tensors = list(self.registered.values())
        # All at once: on a GPU each question would wait for the answer to the one before.
        finite = torch.stack([tensor.detach().isfinite().all() for tensor in tensors]).tolist()
        return (name for name, good in zip(self.registered, finite, strict=True) if not good)


def _check_names(what: str, kind: str, saved: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    for only, known, other in (("holds", saved, here), ("lacks", here, saved)):
        names = [name for name in known if name not in other]
        if names:
            raise ValueError(
                f"the saved state does not fit {what}: of their {kind} it {only} {names[0]!r}"
            )


def _check_shapes(what: str, saved: Mapping[str, Tensor], here: Mapping[str, Tensor]) -> None:
    for name, tensor in here.items():
        there = saved[name]
        for word, old, new in (
            ("shape", tuple(there.shape), tuple(tensor.shape)),
            ("type", there.dtype, tensor.dtype),
        ):
            if old != new:
                raise ValueError(
                    f"the saved state does not fit {what}: {name!r} has {word} {old} in it, "
                    f"and {new} here"
                )
