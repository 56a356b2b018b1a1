"""What a guide says of each example's class, and how often it is right."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial

import torch
from pyro import poutine
from torch import Tensor

from pyro_vae.terms import ProgramError
from pyro_vae.terms.kl import family
from pyro_vae.terms.passes import Program

from .capacity import capacity
from .checks import count, raise_for_nan, told_in_one_line
from .inputs import parts, prepare
from .sites import latent_site
from .undisturbed import undisturbed


def classify(
    guide: Program,
    x: Tensor,
    *others: Tensor,
    site: str = "y",
    particles: int = 1,
    seed: int = 0,
) -> Tensor:
    r"""The probabilities of each example's classes, q(y|x).

    Args:
        guide: any Pyro program, called as ``guide(x, *others)``.
        x: ``(n, *event)``; moved to the guide's device.
        others: further arguments of the guide, each ``(n, ...)``. (No labels: they are what is to
            be told.)
        site: the site of the class, a categorical one.
        particles: runs of the guide, over which the probabilities are averaged; more than 1 only
            where the guide draws other latents before it.
        seed: of those runs.

    Returns:
        ``(n, classes)``.

    Raises:
        ProgramError: no such site, one that is not categorical, or nan.

    >>> import pyro, pyro.distributions as dist
    >>> def guide(x):
    ...     with pyro.plate("data", len(x)):
    ...         pyro.sample("y", dist.Categorical(logits=x))
    >>> classify(guide, torch.tensor([[0.0, 0.0]]))
    tensor([[0.5000, 0.5000]])
    """
    count(particles, "particles")
    arguments = prepare((guide,), x, others)
    with undisturbed(guide, seed=seed):
        rows = capacity(poutine.trace(guide).get_trace, arguments).rows(len(x))
        one = partial(_probabilities, guide, site)
        done = [
            torch.stack([one(part) for _ in range(particles)]).mean(0)
            for part in parts(arguments, rows)
        ]
    return torch.cat(done)


def _probabilities(guide: Program, site: str, arguments: tuple[Tensor, ...]) -> Tensor:
    with told_in_one_line("guide", arguments):
        node = latent_site(poutine.trace(guide).get_trace(*arguments), site)
    fn = node["fn"]
    if family(fn) not in ("Categorical", "OneHotCategorical"):
        raise ProgramError(
            f"site {site!r} is no class: the guide's {family(fn)} is not categorical"
        )
    probabilities: Tensor = fn.enumerate_support(expand=False)
    probabilities = fn.log_prob(probabilities).exp().movedim(0, -1)
    raise_for_nan(probabilities, f"q at {site!r}", arguments)
    return probabilities


@dataclass(frozen=True, eq=False)
class Accuracy:
    """How often the most probable class is the right one.

    Attributes:
        overall, stderr: of all labelled examples, with its standard error.
        by_class: of each class, ``(classes,)``; nan where there is no example of it.
        by_class_stderr: their standard errors.
        examples: labelled examples of each class, ``(classes,)``.
    """

    overall: float
    stderr: float
    by_class: Tensor = field(repr=False)
    by_class_stderr: Tensor = field(repr=False)
    examples: Tensor = field(repr=False)

    def __str__(self) -> str:
        rows = zip(self.by_class, self.by_class_stderr, self.examples, strict=True)
        lines = [f"class {i}  {a:6.1%} ± {e:.1%} of {int(n)}" for i, (a, e, n) in enumerate(rows)]
        return "\n".join([*lines, f"all      {self.overall:6.1%} ± {self.stderr:.1%}"])


def accuracy(probabilities: Tensor, labels: Tensor) -> Accuracy:
    r"""Compare the most probable class of each example with its label.

    Standard errors are :math:`\sqrt{a (1 - a) / n}`.

    Args:
        probabilities: ``(n, classes)``, as :func:`classify` gives them.
        labels: whole numbers ``(n,)``; -1 where missing, and left out.

    Raises ``ValueError`` for labels outside the classes, of another number, or all missing.

    >>> accuracy(torch.eye(3), torch.tensor([0, 1, 1])).by_class
    tensor([1.0000, 0.5000,    nan])
    """
    return accuracy_of(probabilities.argmax(-1), labels, probabilities.shape[-1])


def accuracy_of(predicted: Tensor, labels: Tensor, classes: int) -> Accuracy:
    """The same of classes already chosen, ``(n,)``; -1 is no class, and wrong."""
    labels = checked_labels(labels, classes, len(predicted)).to(predicted.device)
    kept = labels >= 0
    right = (predicted == labels)[kept].double()
    each = torch.nn.functional.one_hot(labels[kept], classes).double()
    examples = each.sum(0)
    by_class = (each * right[:, None]).sum(0) / examples
    overall = right.mean()
    return Accuracy(
        overall.item(),
        _stderr(overall, right.new_tensor(len(right))).item(),
        by_class.float(),
        _stderr(by_class, examples).float(),
        examples.long(),
    )


def _stderr(share: Tensor, n: Tensor) -> Tensor:
    return (share * (1.0 - share) / n).sqrt()


def checked_labels(labels: Tensor, classes: int, n: int) -> Tensor:
    """Labels ``(n,)`` as integers, -1 where missing; ``ValueError`` for what is not."""
    if labels.is_floating_point() or labels.dim() != 1 or len(labels) != n:
        raise ValueError(
            f"labels are whole numbers of shape ({n},), not {labels.dtype} {tuple(labels.shape)}"
        )
    outside = (labels < -1) | (labels >= classes)
    if outside.any():
        row = int(outside.nonzero()[0])
        raise ValueError(
            f"label {int(labels[row])} of example {row} is outside the {classes} classes 0 to "
            f"{classes - 1} (-1: missing)"
        )
    if (labels < 0).all():
        raise ValueError(f"all {n} labels are missing (-1): there is nothing to compare with")
    return labels.long()
