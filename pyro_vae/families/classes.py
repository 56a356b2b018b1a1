"""The labels of a data set, as families take them."""

from __future__ import annotations

import torch
from torch import Tensor

from pyro_vae.data import Dataset
from pyro_vae.data.dataset import SPLITS


def labels_of(dataset: Dataset, cure: str, missing: bool = False) -> dict[str, Tensor]:
    """The labels of each split, 0 to one below the number of classes; -1 where one may be missing.

    Raises ``ValueError`` for data without labels, or labels that are none.
    """
    if dataset.labels is None:
        raise ValueError(
            f"{dataset.name} has no labels: give them in a .npz, y beside x (or y_train, y_valid "
            f"and y_test); {cure}"
        )
    least = -1 if missing else 0
    for split in SPLITS:
        y = dataset.labels[split]
        if bool((y < least).any()):
            row = int((y < least).nonzero()[0])
            rule = "from 0 on, -1 where missing" if missing else "from 0 on"
            raise ValueError(
                f"label {int(y[row])} of example {row} of {split} is no class, which are numbered "
                f"{rule}: correct or remove it"
            )
    return dataset.labels


def class_count(labels: dict[str, Tensor]) -> int:
    """How many classes there are: one more than the greatest label of any split.

    >>> class_count({"train": torch.tensor([0, 2]), "test": torch.tensor([-1])})
    3
    """
    return 1 + max(int(y.max()) for y in labels.values())


def told(labels: Tensor, count: int, classes: int, seed: int) -> Tensor:
    """``count`` of the labels, as many of each class as can be, chosen at random; the others -1.

    Raises ``ValueError`` for fewer than one of each class, or more than there are.

    >>> told(torch.tensor([0, 0, 1, 1]), 2, classes=2, seed=0).sort().values
    tensor([-1, -1,  0,  1])
    """
    there = int((labels >= 0).sum())
    if not classes <= count <= there:
        raise ValueError(
            f"--program.labels {count}: at least one for each of {classes} classes is needed, and "
            f"{there} are there"
        )
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(labels), generator=generator)
    # The first of each class, then the second of each, and so on.
    turn = torch.full_like(labels, len(labels))
    for k in range(classes):
        rows = order[labels[order] == k]
        turn[rows] = torch.arange(len(rows))
    chosen = order[turn[order].argsort(stable=True)][:count]
    result = torch.full_like(labels, -1)
    result[chosen] = labels[chosen]
    return result
