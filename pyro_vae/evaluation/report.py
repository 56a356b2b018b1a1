"""What a model and its guide are worth, in a few lines."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Report:
    """Means over the examples, with standard errors (of the mean over examples), nats.

    Attributes:
        elbo, reconstruction, kl: the plain bound and its two parts, never weighted or annealed.
        nll: the importance-weighted estimate of -log p(x); ``None`` where the programs have none
            (a latent shared by all examples).
        active_units: latent dimensions whose posterior mean varies with x, of ``latent``.
        n: examples.
        particles: of the nll.

    One example has no standard error: nan.
    """

    elbo: float
    elbo_stderr: float
    reconstruction: float
    reconstruction_stderr: float
    kl: float
    kl_stderr: float
    nll: float | None
    nll_stderr: float | None
    active_units: int
    latent: int
    n: int
    particles: int

    def to_dict(self) -> dict[str, float | int | None]:
        """The fields as plain numbers; ``None`` for what is not finite, as JSON has no nan."""
        return {name: _finite_or_none(value) for name, value in asdict(self).items()}

    def to_json(self) -> str:
        """One JSON object on one line."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def __str__(self) -> str:
        rows = [
            ("ELBO", self.elbo, self.elbo_stderr, ""),
            ("reconstruction", self.reconstruction, self.reconstruction_stderr, ""),
            ("KL", self.kl, self.kl_stderr, ""),
        ]
        if self.nll is not None and self.nll_stderr is not None:
            rows.append(("NLL", self.nll, self.nll_stderr, f"  ({self.particles} particles)"))
        lines = [f"{name:<14} {v:>9.2f} ± {e:.2f} nats{note}" for name, v, e, note in rows]
        used = f"{self.active_units} of {self.latent}"
        return "\n".join([*lines, f"active units   {used:>9}", f"examples       {self.n:>9}"])


def _finite_or_none(value: float | int | None) -> float | int | None:
    return None if value is None or not math.isfinite(value) else value
