"""A function of Pyro programs that is recorded once, compiled, and then called without Python."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from pyro.poutine.runtime import am_i_wrapped
from torch import Tensor

from .call import Call
from .entry import Entry, Finish
from .lowering import BACKENDS, Backend
from .met import Met
from .readable import Readable
from .rehearsal import rehearse
from .staging import Staged, stage
from .staging_error import Refusal, StagingError, Unsettled

_MOST = 16  # programs compiled by one object; then shapes are too many to compile each
_KEYS = 64  # kinds of arguments that are remembered
_LOOK_AGAIN = 50  # eager calls between two looks at what keeps changing
_RESTLESS = 8  # eager calls in which something had changed, before it is spoken of


class StagedFunction:
    """Decides for each call whether it is run eagerly, compiled first, or run compiled.

    The first calls of each shape are left to the caller, to be run eagerly: they initialise what
    is initialised lazily, and a shape that is met once is not worth compiling. So use it as::

        entry = function.find(args, kwargs)
        if entry is None:
            ...                     # run eagerly
            function.met(leaves)    # the parameters that the run used
        else:
            result = entry(function.tensors)

    Args:
        evaluate: called with the programs' arguments; adds gradients to ``leaf.grad`` and returns
            tensors, numbers, or containers of these.
        roots: the programs, and everything else that ``evaluate`` reads.
        finish: given the leaves and which of them have gradients, what is done with these.
        name: of the caller, for messages.
        strict: raise :class:`StagingError` where otherwise calls would stay eager.
        backend: see :func:`lower`.
        warm_up: eager calls of each shape.
        leaves: the parameters, where they are known: then there is no warm-up.
        listener: is told ``"compiling"`` when a compilation begins.
    """

    def __init__(
        self,
        evaluate: Callable[..., Any],
        roots: Sequence[Any],
        finish: Callable[[list[Tensor], list[bool]], Finish],
        name: str,
        strict: bool = False,
        backend: Backend = "inductor",
        warm_up: int = 1,
        leaves: Sequence[Tensor] | None = None,
        listener: Callable[[str], None] | None = None,
    ) -> None:
        if backend not in BACKENDS:
            raise ValueError(f"backend is one of {', '.join(map(repr, BACKENDS))}, not {backend!r}")
        self.compilations = 0
        self.compile_seconds = 0.0
        self.reason: str | None = None  #: why calls are run eagerly, if that is so
        self.tensors: list[Tensor] = []
        self._evaluate, self._roots, self._finish = evaluate, list(roots), finish
        self._name, self._strict, self._backend = name, strict, backend
        self._warm_up, self._listener = warm_up, listener
        self._leaves = leaves
        self._lift = True
        self._call: Call | None = None
        self._entries: dict[Any, list[Entry]] = {}
        self._met: dict[Any, Met | None] = {}  # None: refused
        self._restless = 0

    def find(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Entry | None:
        """What is compiled for these arguments; ``None`` where this call is to be run eagerly."""
        call = self._call = Call(args, kwargs, self._lift)
        self.tensors = call.tensors
        for entry in self._entries.get(call.key, ()):
            if entry.moved() is None:
                return entry
        if self._leaves is not None and call.key not in self._met and not am_i_wrapped():
            try:
                rehearse(self._evaluate, call, self._leaves)
            except Refusal as refusal:
                self._met[call.key] = None
                self._stay_eager(str(refusal))
                return None
            self._met[call.key] = self._now(self._leaves, self._warm_up)
        met = self._met.get(call.key)
        if met is None or met.times < self._warm_up or am_i_wrapped() or self._too_many():
            return None
        where = met.moved()
        if where is None:
            return self._compile(call, met)
        self._unsettled(where)
        return None

    def met(self, leaves: Sequence[Tensor]) -> None:
        """Tell which parameters the eager run used that ``find`` asked for."""
        assert self._call is not None
        key = self._call.key
        before = self._met.get(key)
        if key in self._met and before is None:
            return
        if self._restless >= _RESTLESS and self._restless % _LOOK_AGAIN:
            return
        if before is None and len(self._met) >= _KEYS:
            del self._met[next(iter(self._met))]
            self._stay_eager(f"the last {_KEYS} calls had {_KEYS} different shapes or numbers")
        self._met[key] = self._now(leaves, 1 + (before.times if before else 0))

    def _now(self, leaves: Sequence[Tensor], times: int) -> Met:
        assert self._call is not None
        return Met(leaves, Readable([*self._roots, *self._call.objects]), times)

    def _compile(self, call: Call, met: Met) -> Entry | None:
        if self._listener is not None:
            self._listener("compiling")
        began = time.perf_counter()
        try:
            staged = self._stage(call, met)
            finish = self._finish(met.leaves, staged.reached)
            entry = Entry(staged, call, met.readable, finish, self._backend)
        except Unsettled as unsettled:
            del self._met[call.key]
            self._unsettled(str(unsettled))
            return None
        except Refusal as refusal:
            if call.lifted:  # perhaps it is only that a number has become a tensor
                self._lift = False
            else:
                self._met[call.key] = None
                self._stay_eager(str(refusal))
            return None
        finally:
            self.compile_seconds += time.perf_counter() - began
        self.compilations += 1
        self._restless = 0
        self._entries.setdefault(call.key, []).append(entry)
        return entry

    def _stage(self, call: Call, met: Met) -> Staged:
        try:
            staged = stage(self._evaluate, call, met.leaves)
        except Refusal as refusal:
            where = met.moved()
            raise Refusal(f"{refusal}{f'; {where} changes in each' if where else ''}") from refusal
        where = met.moved()
        if where is not None:
            raise Refusal(f"{where} is changed by every run of the programs")
        return staged

    def _unsettled(self, where: str) -> None:
        self._restless += 1
        if self._restless == _RESTLESS:
            self._stay_eager(
                f"{where} changes between steps, and would be a constant of what is compiled: "
                "make it a tensor that is changed in place (fill_, copy_)"
            )

    def _too_many(self) -> bool:
        if self.compilations == _MOST:
            self._stay_eager(f"{_MOST} shapes have been compiled; further ones are not")
        return self.compilations >= _MOST

    def _stay_eager(self, reason: str) -> None:
        if self._strict:
            raise StagingError(f"{self._name} cannot compile these programs: {reason}")
        if self.reason is None:
            self.reason = reason
            warnings.warn(f"{self._name} runs eagerly: {reason}", stacklevel=4)
