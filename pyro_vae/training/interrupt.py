"""Ctrl-C between two steps, never within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether Ctrl-C was pressed; a second one is not held back."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def held_back() -> Iterator[Interrupt]:
    """Hold the first Ctrl-C until the loop asks, so that a step is whole or not begun.

    One that nobody has asked about by the end is delivered there, as ``KeyboardInterrupt``.
    Outside the main thread signals cannot be handled, and nothing is held back.
    """
    interrupt = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield interrupt
        return

    def note(number: int, frame: FrameType | None) -> None:
        if interrupt.requested:
            raise KeyboardInterrupt
        interrupt.requested = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupt
    finally:
        # None: a handler that was not set from Python cannot be set again from here.
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)
    if interrupt.requested:
        raise KeyboardInterrupt
