"""What one sees while a model trains."""

from __future__ import annotations

import math
import sys
import time
import warnings
from collections.abc import Mapping
from types import TracebackType
from typing import Any, SupportsFloat

_SECONDS_BETWEEN_REPAINTS = 0.1
_LABELS = {"elbo": "ELBO", "reconstruction": "rec", "kl": "KL", "valid_elbo": "valid"}
_BAR = "{percentage:3.0f}%|{bar}| {elapsed}<{remaining} "
_WIDTH_OF_BAR_AND_TIMES = 25


class Progress:
    """A bar with the epoch, the ELBO and its two parts (nats per example), or plain lines.

    A terminal and a notebook get a bar, repainted at most ten times a second: between repaints a
    step costs a look at the clock, and tensors are not read, so that a GPU is not kept waiting.
    Where standard error is a file, about ten lines are printed in the whole run.

    Args:
        total_epochs: the epoch at which the run ends.
        steps_per_epoch: optimiser steps in an epoch.
        enabled: True for a bar anywhere, False for silence, None to choose as above.
        start_epoch: epochs already done, in a run that resumes.

    Example:
        >>> with Progress(total_epochs=2, steps_per_epoch=1, enabled=False) as progress:
        ...     progress.note("compiling")
        ...     for epoch in (1, 2):
        ...         progress.step(elbo=-98.1, reconstruction=-80.3, kl=17.8)
        ...         progress.epoch({"epoch": epoch, "elbo": -98.1})
    """

    def __init__(
        self,
        total_epochs: int,
        steps_per_epoch: int,
        enabled: bool | None = None,
        start_epoch: int = 0,
    ) -> None:
        self._total, self._steps, self._start = total_epochs, steps_per_epoch, start_epoch
        self._epochs, self._done = start_epoch, start_epoch * steps_per_epoch
        self._bar_wanted = _has_screen() if enabled is None else enabled
        self._lines_wanted = enabled is None and not self._bar_wanted and sys.stderr is not None
        self._bar: Any = None
        self._terms: list[str] = []
        self._valid: list[str] = []
        self._unprinted = ""
        self._next_repaint = 0.0
        self._began = time.monotonic()

    def __enter__(self) -> Progress:
        if self._bar_wanted:
            self._bar = _new_bar(self._total * self._steps, self._done, self._left() + _BAR)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._repaint(self._terms)
            self._bar.close()
        # The last epoch, where a run stopped early between two lines.
        self._print(self._unprinted)

    def step(
        self,
        elbo: SupportsFloat,
        reconstruction: SupportsFloat | None = None,
        kl: SupportsFloat | None = None,
    ) -> None:
        """One optimiser step is done; these are the terms of its mini-batch, tensors or numbers."""
        self._done += 1
        if self._bar is not None and time.monotonic() >= self._next_repaint:
            self._terms = _shown({"elbo": elbo, "reconstruction": reconstruction, "kl": kl})
            self._repaint(self._terms)

    def epoch(self, row: Mapping[str, SupportsFloat | None]) -> None:
        """An epoch is done; the row holds its means and, as ``valid_elbo``, a validation ELBO."""
        self._epochs += 1
        self._done = self._epochs * self._steps
        self._terms = _shown({name: row.get(name) for name in ("elbo", "reconstruction", "kl")})
        self._valid = _shown({"valid_elbo": row.get("valid_elbo")}) or self._valid
        if self._bar is not None:
            self._repaint(self._terms)
            return
        terms = "  ".join([*self._terms, *_shown({"valid_elbo": row.get("valid_elbo")})])
        seconds = time.monotonic() - self._began
        self._unprinted = f"epoch {self._epochs}/{self._total}  {terms} nats  ({seconds:.0f} s)"
        every = math.ceil(self._total / 10)
        if self._epochs % every == 0 or self._epochs in (self._start + 1, self._total):
            self._print(self._unprinted)

    def note(self, text: str) -> None:
        """Say what takes long (``compiling``), until the next step."""
        if self._bar is not None:
            self._repaint([], note=text)
            self._next_repaint = 0.0
        self._print(text)

    def _print(self, line: str) -> None:
        if self._lines_wanted and line:
            print(line, file=sys.stderr, flush=True)
            self._unprinted = ""

    def _left(self) -> str:
        epoch = min(self._done // self._steps + 1, self._total)
        return f"epoch {epoch:>{len(str(self._total))}}/{self._total} "

    def _repaint(self, terms: list[str], note: str = "") -> None:
        left = self._left()
        # In a narrow window the least important is left out, instead of a line cut in a number.
        shorter = [terms[:count] for count in range(len(terms), 0, -1)]
        choices = (
            [[*terms, *self._valid, "nats"], [*terms, "nats"], *shorter] if terms else [[note]]
        )
        room = (self._bar.format_dict["ncols"] or 1000) - len(left) - _WIDTH_OF_BAR_AND_TIMES
        right = next((text for text in map(" ".join, choices) if len(text) <= room), choices[-1][0])
        right = right.replace("{", "{{").replace("}", "}}")
        self._bar.bar_format = left + _BAR + right
        self._bar.update(self._done - self._bar.n)
        self._next_repaint = time.monotonic() + _SECONDS_BETWEEN_REPAINTS


def _shown(terms: Mapping[str, SupportsFloat | None]) -> list[str]:
    given = {name: float(value) for name, value in terms.items() if value is not None}
    return [f"{_LABELS[k]} {v:.{2 if abs(v) < 1000 else 1}f}" for k, v in given.items()]


def _has_screen() -> bool:
    """Whether a bar would be seen moving: in a terminal, or in a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    # There is none under pythonw and in some services.
    terminal = sys.stderr is not None and sys.stderr.isatty()
    return terminal or hasattr(shell, "kernel")


def _new_bar(total: int, done: int, layout: str) -> Any:
    with warnings.catch_warnings():
        # A notebook without ipywidgets gets the plain bar, which is good enough not to nag.
        warnings.filterwarnings("ignore", message="IProgress not found")
        from tqdm.auto import tqdm
    # With these intervals each update paints: when to is decided above, together with the text.
    settings = {"mininterval": 0, "miniters": 0, "dynamic_ncols": True}
    return tqdm(total=total, initial=done, bar_format=layout, **settings)
