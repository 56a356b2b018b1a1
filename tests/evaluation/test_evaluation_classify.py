"""Accuracy by class, and clusters matched to classes, against counts by hand."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch

from pyro_vae.evaluation.classify import accuracy, classify
from pyro_vae.evaluation.clusters import match_clusters
from pyro_vae.terms import ProgramError


def one_hot(*k: int, n: int = 3) -> torch.Tensor:
    return torch.eye(n)[list(k)]


def test_accuracy_counts_each_class():
    found = accuracy(one_hot(0, 0, 1, 2, 2, 2, 1), torch.tensor([0, 1, 1, 1, 0, -1, -1]))
    assert found.overall == 2 / 5
    assert found.stderr == pytest.approx(math.sqrt(0.4 * 0.6 / 5))
    assert found.examples.tolist() == [2, 3, 0]
    assert found.by_class[:2].tolist() == pytest.approx([1 / 2, 1 / 3])
    assert math.isnan(found.by_class[2])
    assert found.by_class_stderr[1].item() == pytest.approx(math.sqrt(2 / 9 / 3))
    assert str(found).splitlines()[0] == "class 0   50.0% ± 35.4% of 2"


def test_clusters_are_matched_one_to_one():
    # Cluster 0 holds classes 1, 1, 0; cluster 1 holds 1; cluster 3 holds 0, 0; cluster 2 is empty.
    found = match_clusters(
        one_hot(0, 0, 0, 1, 3, 3, n=4), torch.tensor([1, 1, 0, 1, 0, 0]), share=0.2
    )
    assert found.sizes.tolist() == [3, 1, 0, 2]
    assert found.used == 2
    assert found.classes.tolist() == [1, -1, -1, 0]
    assert found.accuracy.overall == 4 / 6


def test_the_matching_is_the_best_of_all():
    import itertools

    generator = torch.Generator().manual_seed(0)
    k = torch.randint(0, 4, (60,), generator=generator)
    labels = torch.where(torch.rand(60, generator=generator) < 0.5, (k + 1) % 4, 0)
    found = match_clusters(torch.eye(4)[k], labels).accuracy.overall
    best = max(
        (torch.tensor(order)[k] == labels).float().mean().item()
        for order in itertools.permutations(range(4))
    )
    assert found == pytest.approx(best)


def test_labels_that_cannot_be_are_named():
    p = one_hot(0, 1)
    for call in (accuracy, match_clusters):
        with pytest.raises(ValueError, match="all 2 labels are missing"):
            call(p, torch.tensor([-1, -1]))
        with pytest.raises(ValueError, match="label -2 of example 1 is outside"):
            call(p, torch.tensor([0, -2]))
        with pytest.raises(ValueError, match=r"whole numbers of shape \(2,\), not torch.float32"):
            call(p, torch.zeros(2))
        with pytest.raises(ValueError, match=r"whole numbers of shape \(2,\)"):
            call(p, torch.tensor([0]))
    with pytest.raises(ValueError, match="label 3 of example 0 is outside the 3 classes"):
        accuracy(p, torch.tensor([3, 0]))


def guide(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(x, 1.0).to_event(1))
        pyro.sample("y", dist.OneHotCategorical(logits=z))


def test_probabilities_are_averaged_over_runs_and_repeat():
    x = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    found = classify(guide, x, particles=4000)
    torch.testing.assert_close(found.sum(-1), torch.ones(2))
    # By symmetry; five standard errors of a deviation of at most 1/2.
    assert abs(found[1, 0].item() - 0.5) < 5 * 0.5 / 4000**0.5
    assert torch.equal(classify(guide, x), classify(guide, x))
    assert not torch.equal(classify(guide, x), classify(guide, x, seed=1))


def test_what_is_no_class_is_refused():
    x = torch.zeros(2, 2)
    with pytest.raises(ProgramError, match="'z' is no class: the guide's Normal is not categ"):
        classify(guide, x, site="z")
    with pytest.raises(ProgramError, match="no latent site 'c'"):
        classify(guide, x, site="c")
    with pytest.raises(ValueError, match="particles is a whole number"):
        classify(guide, x, particles=0)
