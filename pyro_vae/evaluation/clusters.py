"""What the clusters that a guide finds have to do with known classes."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from .classify import Accuracy, accuracy_of, checked_labels


@dataclass(frozen=True, eq=False)
class Clusters:
    """How many clusters are used, and how well they match the classes.

    Attributes:
        sizes: examples whose most probable cluster it is, ``(clusters,)``.
        used: how many clusters have at least the given share of the examples.
        classes: the class matched to each cluster, ``(clusters,)``; -1 for none.
        accuracy: of these classes as predictions.
    """

    sizes: Tensor = field(repr=False)
    used: int
    classes: Tensor = field(repr=False)
    accuracy: Accuracy


def match_clusters(probabilities: Tensor, labels: Tensor, share: float = 0.01) -> Clusters:
    """Match clusters to classes one to one, so that most examples are right (Hungarian method).

    Labels are used for this alone: whatever their number, one cluster gets one class at most, and
    with more clusters than classes some get none, and are counted as wrong.

    Args:
        probabilities: of each example's clusters, ``(n, clusters)``, as
            :func:`~pyro_vae.evaluation.classify` gives them with ``site="c"``.
        labels: whole numbers ``(n,)``; -1 where missing.
        share: of the examples that a cluster must have to be one that is used.

    Raises ``ValueError`` for labels below -1, of another number, or all missing.

    >>> found = match_clusters(torch.eye(3)[[2, 2, 0, 0]], torch.tensor([0, 0, 1, 0]))
    >>> found.used, found.classes.tolist(), found.accuracy.overall
    (2, [1, -1, 0], 0.75)
    """
    from scipy.optimize import linear_sum_assignment

    n, clusters = probabilities.shape
    count = int(labels.max()) + 1 if labels.numel() and not labels.is_floating_point() else 1
    labels = checked_labels(labels, max(count, 1), n).to(probabilities.device)
    found = probabilities.argmax(-1)
    kept = labels >= 0
    table = torch.zeros(clusters, count, dtype=torch.int64, device=found.device)
    one = torch.ones((), dtype=torch.int64, device=found.device)
    table.index_put_((found[kept], labels[kept]), one, accumulate=True)
    rows, columns = linear_sum_assignment(table.cpu().numpy(), maximize=True)
    # A cluster that holds none of its class is matched to none.
    classes = torch.full((clusters,), -1)
    for row, column in zip(rows, columns, strict=True):
        if table[row, column] > 0:
            classes[row] = int(column)
    classes = classes.to(found.device)
    sizes = found.bincount(minlength=clusters)
    used = int((sizes >= max(share * n, 1)).sum())
    return Clusters(sizes, used, classes, accuracy_of(classes[found], labels, count))
