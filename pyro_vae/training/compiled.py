"""Pyro's SVI, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pyro import poutine
from pyro.infer import ELBO, SVI
from pyro.infer.util import torch_item
from pyro.optim import PyroOptim
from torch import Tensor
from torch.optim import Optimizer

from pyro_vae.objectives import Objective

from .lowering import Backend
from .owners import Factory, Gradients, JointOptim, JointOwner, PyroOwner
from .staged_function import StagedFunction
from .staging_error import Unsettled
from .updates import Updates


class CompiledSVI(SVI):
    r"""``pyro.infer.SVI`` without Python's share of a step: write ``CompiledSVI(`` for ``SVI(``.

    Any Pyro programs, any ELBO, any ``pyro.optim`` object. The first step of each shape is a step
    of ``SVI``. At the second the programs run under the bound's own ``loss_and_grads`` once more,
    and every tensor operation, forward and backward, is written down; the list is compiled (some
    seconds, kept on disk), and from then on a step is that function and one fused operation of
    the optimiser. On a GPU both are one CUDA graph. Parameters, buffers and every other tensor
    that the programs hold are inputs of it: change them in place and the next step sees it.
    Random numbers are new at each step and follow ``pyro.set_rng_seed``; those of the compiled
    step are other ones than the eager step's.

    What cannot be written down is refused and named, and the steps are then SVI's own, after one
    warning, or raise under ``strict``:

    - a tensor's value that Python reads (``if x.sum() > 0``, ``float(t)``), and shapes that
      depend on values;
    - a set of sites, a number or a tensor that differs between two runs, and attributes that
      the programs' own run changes (a counter, ``self.last = z``).

    Numbers of Python that the programs read in closures, globals and attributes are looked at
    before each step; where one has changed, the programs are compiled anew, and where one keeps
    changing, the steps stay eager: make an annealing weight a tensor, or an argument with a
    decimal point. *Limits*: not looked at are files, the clock, numpy arrays changed in place,
    lists of more than 256 items, and hooks added to modules later; Pyro's validation runs in
    eager steps only.

    Args:
        model, guide, optim, loss: as in ``pyro.infer.SVI``. ``optim`` may also be a function
            from a list of parameters to a torch optimiser.
        strict: raise :class:`StagingError` instead of warning.
        backend: ``"inductor"``; or ``"none"`` to run the list without a compiler.
        warm_up: steps of SVI for each shape before it is compiled.
        listener: called with ``"compiling"`` when that begins.
        options: others of ``pyro.infer.SVI``.

    >>> import pyro, pyro.distributions as dist
    >>> def model(x):
    ...     with pyro.plate("data", len(x)):
    ...         z = pyro.sample("z", dist.Normal(0.0, 1.0))
    ...         pyro.sample("x", dist.Normal(z, 1.0), obs=x)
    >>> def guide(x):
    ...     shift = pyro.param("doctest.shift", torch.tensor(0.0))
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("z", dist.Normal(x / 2 + shift, 0.5**0.5))
    >>> from pyro.infer import Trace_ELBO
    >>> adam = pyro.optim.Adam({"lr": 0.1})
    >>> svi = CompiledSVI(model, guide, adam, Trace_ELBO(), backend="none")
    >>> losses = [svi.step(torch.tensor([0.0, 2.0])) for _ in range(3)]
    >>> svi.compilations
    1
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        optim: PyroOptim | Factory,
        loss: ELBO | Callable[..., Any],
        *,
        strict: bool = False,
        backend: Backend = "inductor",
        warm_up: int = 1,
        listener: Callable[[str], None] | None = None,
        **options: Any,
    ) -> None:
        if isinstance(optim, Optimizer):
            raise TypeError(
                "optim is a pyro.optim object, or a function from parameters to a torch optimizer "
                "(the parameters are not known yet): lambda p: torch.optim.Adam(p, lr=1e-3)"
            )
        if not isinstance(optim, PyroOptim):
            optim = JointOptim(optim)
        super().__init__(model, guide, optim, loss, **options)
        self._objective = loss if isinstance(loss, Objective) else None
        if self._objective is not None:  # its schedules are advanced by `step`
            self.loss_and_grads = self._objective.gradients
        common: dict[str, Any] = {
            "roots": (model, guide, loss),
            "name": type(self).__name__,
            "strict": strict,
            "backend": backend,
            "warm_up": warm_up,
            "listener": listener,
        }
        self._step = StagedFunction(self._gradients, finish=self._updates, **common)
        self._evaluation = StagedFunction(self._loss, finish=lambda *_: _Nothing(), **common)

    @property
    def compilations(self) -> int:
        """How many functions have been compiled."""
        return self._step.compilations + self._evaluation.compilations

    @property
    def compile_seconds(self) -> float:
        """The time spent on it."""
        return self._step.compile_seconds + self._evaluation.compile_seconds

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """Take a gradient step; returns the loss, as ``SVI.step`` does."""
        if self._objective is not None:
            self._objective.begin_step()
        entry = self._step.find(args, kwargs)
        if entry is not None:
            return _numbers(entry(self._step.tensors))
        with poutine.trace(param_only=True) as used:
            loss = super().step(*args, **kwargs)
        self._step.met(_parameters(used))
        return loss

    def evaluate_loss(self, *args: Any, **kwargs: Any) -> Any:
        """The loss without a step, as ``SVI.evaluate_loss`` returns it."""
        entry = self._evaluation.find(args, kwargs)
        if entry is not None:
            return _numbers(entry(self._evaluation.tensors))
        loss = super().evaluate_loss(*args, **kwargs)
        self._evaluation.met([])
        return loss

    def _gradients(self, *args: Any, **kwargs: Any) -> Any:
        with poutine.trace(param_only=True) as used:
            loss = self.loss_and_grads(self.model, self.guide, *args, **kwargs)
        self._used = _parameters(used)
        return loss

    def _loss(self, *args: Any, **kwargs: Any) -> Any:
        with torch.no_grad():
            return self.loss(self.model, self.guide, *args, **kwargs)

    def _updates(self, leaves: list[Tensor], reached: list[bool]) -> Updates:
        if list(map(id, leaves)) != list(map(id, self._used)):
            raise Unsettled("the set of parameters")
        joint = isinstance(self.optim, JointOptim) and self.optim.optimizer is not None
        owner = JointOwner(self.optim.optimizer) if joint else PyroOwner(self.optim)
        return Updates(owner, leaves, reached)


def _parameters(used: Any) -> list[Tensor]:
    return [site["value"].unconstrained() for site in used.trace.nodes.values()]


class _Nothing:
    """An evaluation has no gradients."""

    capturable = True

    def prepare(self) -> bool:
        return True

    def tensors(self) -> list[Tensor]:
        return []

    def __call__(self, gradients: Gradients) -> None:
        return None


def _numbers(loss: Any) -> Any:
    if isinstance(loss, tuple):
        return type(loss)(map(torch_item, loss))
    return torch_item(loss)
