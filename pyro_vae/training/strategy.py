"""How theta and phi are optimised: together, in turn, or phi ahead."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any

THETA, PHI = "theta", "phi"


class Strategy(ABC):
    """Which of the two groups of parameters a step leaves as it is.

    Each step still takes one mini-batch and computes the bound on it. To add one, implement
    ``frozen(step)``; what it remembers between steps goes into ``state_dict``.
    """

    #: Whether ``after`` wants the mutual information of x and z.
    needs_information = False

    @abstractmethod
    def frozen(self, step: int) -> str | None:
        """``"theta"``, ``"phi"`` or ``None``: what does not move in this step, 0 for the first."""

    def describe(self) -> list[Any]:
        """Its name and options, to know it again."""
        options = {name: v for name, v in vars(self).items() if name[0] != "_"}
        return [type(self).__name__, *(list(pair) for pair in sorted(options.items()))]

    def note_loss(self, loss: float) -> None:
        """What the last step's loss was, nats per example; only some strategies look at it."""
        return

    def end_epoch(self, information: float) -> None:
        """The mutual information after an epoch, nats, where ``needs_information``."""
        return

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        return


class Joint(Strategy):
    """Every step moves theta and phi together, by the gradient of one bound: the default.

    Kingma and Welling 2014, *Auto-Encoding Variational Bayes*.
    """

    def frozen(self, step: int) -> str | None:
        return None


class Alternating(Strategy):
    """``guide_steps`` steps of phi, then one of theta, and so on.

    Variational EM with gradient steps: the first moves the bound towards log p(x), the other
    moves the model. Neal and Hinton 1998, *A View of the EM Algorithm that Justifies Incremental,
    Sparse, and Other Variants*.

    >>> [Alternating(guide_steps=2).frozen(step) for step in range(4)]
    ['theta', 'theta', 'phi', 'theta']
    """

    def __init__(self, guide_steps: int = 1) -> None:
        self.guide_steps = _whole("guide_steps", guide_steps)

    def frozen(self, step: int) -> str | None:
        return PHI if step % (self.guide_steps + 1) == self.guide_steps else THETA


class Aggressive(Strategy):
    """Phi alone until it no longer gains, then one step of theta; joint once phi keeps up.

    In each round phi moves until the mean loss of ``window`` steps is no longer below that of the
    ``window`` before, or ``most`` steps are over. Once the mutual information of x and z no
    longer grows from one epoch to the next, steps are joint from then on. As in the paper, but
    for what counts as an epoch: there the steps of theta, here all.

    He, Spokoyny, Neubig and Berg-Kirkpatrick 2019, *Lagging Inference Networks and Posterior
    Collapse in Variational Autoencoders*.

    Args:
        most: phi's steps in a round, at most.
        window: steps whose mean loss is compared.
        patience: epochs without more mutual information, before steps are joint.
    """

    needs_information = True

    def __init__(self, most: int = 100, window: int = 10, patience: int = 1) -> None:
        self.most = _whole("most", most)
        self.window = _whole("window", window)
        self.patience = _whole("patience", patience)
        self._state: dict[str, Any] = {
            "joint": False, "taken": 0, "sum": 0.0, "before": None, "turn": THETA,
            "best": float("-inf"), "stalled": 0,
        }  # fmt: skip

    @property
    def done(self) -> bool:
        """Whether steps are joint by now."""
        return bool(self._state["joint"])

    def frozen(self, step: int) -> str | None:
        return None if self._state["joint"] else self._state["turn"]

    def note_loss(self, loss: float) -> None:
        s = self._state
        if s["joint"]:
            return
        if s["turn"] == PHI:  # theta has moved: a new round
            s.update(taken=0, sum=0.0, before=None, turn=THETA)
            return
        s["taken"] += 1
        s["sum"] += loss
        if s["taken"] % self.window == 0:
            mean = s["sum"] / self.window
            stalled = s["before"] is not None and mean >= s["before"]
            s.update(before=mean, sum=0.0)
            if stalled:
                s["turn"] = PHI
        if s["taken"] >= self.most:
            s["turn"] = PHI

    def end_epoch(self, information: float) -> None:
        s = self._state
        if information > s["best"]:
            s.update(best=information, stalled=0)
        else:
            s["stalled"] += 1
            s["joint"] = s["joint"] or s["stalled"] >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return dict(self._state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._state.update(state)


def as_strategy(strategy: Strategy | None) -> Strategy:
    """A fresh copy of a strategy, so that one object can serve several runs.

    Raises ``TypeError`` for what is none.
    """
    if strategy is None:
        return Joint()
    if not isinstance(strategy, Strategy):
        raise TypeError(
            "strategy is Joint(), Alternating(...) or Aggressive(...) of pyro_vae.training, not "
            f"{strategy!r}"
        )
    return copy.deepcopy(strategy)


def _whole(name: str, value: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} is a whole number of at least 1, not {value!r}")
    return value
