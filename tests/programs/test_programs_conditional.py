"""The conditional VAE: labels and contexts, every way of training, the gain of knowing y."""

from __future__ import annotations

import pyro
import pytest
import torch
from torch import Tensor
from trained_ways import trains_everywhere

from pyro_vae import ELBO, ProgramError, explain, fit
from pyro_vae.evaluation import encode, evaluate, generate, log_evidence, reconstruct
from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP, ConvEncoder
from pyro_vae.posteriors import DiagonalNormal, InverseAutoregressive
from pyro_vae.priors import MixtureOfNormals, StandardNormal
from pyro_vae.programs import VAE, conditional
from pyro_vae.terms import site_terms
from pyro_vae.training import TrainingError
from pyro_vae.training.compiled import CompiledSVI

CLASSES = 3
G = torch.Generator().manual_seed(3)
X = (torch.rand(20, 6, generator=G) < 0.5).float()
Y = torch.randint(CLASSES, (20,), generator=G)
CONTEXT = torch.randn(20, 2, 2, generator=G)


def labelled() -> VAE:
    """Labels, and a prior that does not depend on them."""
    torch.manual_seed(0)
    model = conditional.Model(
        StandardNormal(2), Bernoulli(MLP(2 + CLASSES, 6, [5])), classes=CLASSES
    )
    guide = conditional.Guide(DiagonalNormal(MLP(6 + CLASSES, 4, [5])), classes=CLASSES)
    return VAE(model, guide)


def in_context() -> VAE:
    """A context of shape (2, 2), and a prior from it."""
    torch.manual_seed(0)
    prior = DiagonalNormal(MLP((2, 2), 4, [5]))
    model = conditional.Model(prior, Bernoulli(MLP(2 + 4, 6, [5])))
    return VAE(model, conditional.Guide(DiagonalNormal(MLP(6 + 4, 4, [5]))))


PAIRS = {"labels": (labelled, (X, Y)), "context": (in_context, (X, CONTEXT))}


@pytest.mark.parametrize("kind", PAIRS)
def test_it_trains_in_every_way(kind, tmp_path):
    make, args = PAIRS[kind]
    trains_everywhere(make(), args, tmp_path)


@pytest.mark.parametrize("kind", PAIRS)
def test_it_is_evaluated_and_generates_in_context(kind):
    make, args = PAIRS[kind]
    pair = make()
    assert evaluate(*pair, *args, particles=20).latent == 2
    assert site_terms(*pair, *args, particles=7).log_weights.shape == (7, 20)
    assert generate(pair.model, X, 5, args[1][:5]).shape == (5, 6)
    assert reconstruct(*pair, *args).shape == (20, 6)
    assert encode(pair.guide, *args).mean.shape == (20, 2)


def test_as_many_examples_as_particles_or_features_is_no_matter():
    pair = labelled()
    one = site_terms(*pair, X[:6], Y[:6], particles=6)
    for row in range(6):
        values = {"z": one["z"].value[:, row : row + 1]}
        joined = torch.cat([values["z"], torch.eye(3)[Y[row]].expand(6, 1, 3)], -1)
        expected = pair.model.likelihood(joined).log_prob(X[row])
        torch.testing.assert_close(one["x"].log_p[:, row : row + 1], expected)


def test_images_take_the_context_as_channels():
    torch.manual_seed(0)
    images = torch.rand(8, 1, 8, 8).round()
    likelihood = Bernoulli(MLP(2 + CLASSES, (1, 8, 8)))
    model = conditional.Model(StandardNormal(2), likelihood, classes=CLASSES)
    encoder = ConvEncoder((1 + CLASSES, 8, 8), 4, channels=[4])
    guide = conditional.Guide(DiagonalNormal(encoder), classes=CLASSES)
    assert explain(model, guide, images, Y[:8]).problems == []
    assert evaluate(model, guide, images, Y[:8], particles=5).n == 8
    # A context that is an image too.
    other = conditional.Guide(DiagonalNormal(ConvEncoder((2, 8, 8), 4, channels=[4])))
    assert other(images, images).shape == (8, 2)


def test_any_prior_and_posterior_fit():
    torch.manual_seed(0)
    model = conditional.Model(MixtureOfNormals(2, 4), Bernoulli(MLP(5, 6)), classes=CLASSES)
    size = InverseAutoregressive.outputs(2)
    guide = conditional.Guide(InverseAutoregressive(MLP(9, size), latent=2), classes=CLASSES)
    history = fit(model, guide, (X, Y), epochs=2, batch_size=10, progress=False)
    assert torch.tensor(history["elbo"]).isfinite().all()


def clusters(n: int = 600) -> tuple[Tensor, Tensor]:
    """Three far clusters in four dimensions: y tells log 3 nats of x, and z need not."""
    g = torch.Generator().manual_seed(1)
    y = torch.randint(CLASSES, (n,), generator=g)
    centres = torch.tensor([[4.0, 0, 0, 0], [0, 4.0, 0, 0], [0, 0, 4.0, 0]])
    return centres[y] + torch.randn(n, 4, generator=g), y


def gain(y: Tensor, x: Tensor) -> tuple[conditional.Model, float]:
    """log p(x|y) of a trained model, with a decoder that is linear so that z cannot do it all."""
    torch.manual_seed(0)
    likelihood = Normal(MLP(1 + CLASSES, 4, []))
    model = conditional.Model(StandardNormal(1), likelihood, classes=CLASSES)
    guide = conditional.Guide(DiagonalNormal(MLP(4 + CLASSES, 2, [])), classes=CLASSES)
    fit(model, guide, (x, y), epochs=20, batch_size=50, lr=1e-1, progress=False)
    return model, log_evidence(model, guide, x, y, particles=100).mean


def test_shuffled_labels_lose_the_gain():
    x, y = clusters()
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    model, known = gain(y, x)
    _, shuffled = gain(y[order], x)
    # With the labels the model is exact: the entropy of the noise, within 4 standard errors.
    exact = -4 * 0.5 * (1 + torch.log(torch.tensor(2 * torch.pi)).item())
    assert known == pytest.approx(exact, abs=0.1 + 4 * (2 / len(x)) ** 0.5)
    # Without them, one latent explains at most one of the two directions between the centres,
    # whose standard deviation is 4 / sqrt(3) = 2.3 times the noise's: the other costs about
    # log(2.5) = 0.9 nats, less what a wider shared noise saves.
    assert shuffled < known - 0.5
    # And a label in generation is the class of what comes out.
    made = generate(model, x, 60, torch.arange(60) % 3)
    assert made[:, :3].argmax(1).eq(torch.arange(60) % 3).float().mean() > 0.9


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y.masked_fill(torch.arange(20) == 4, 3), "label 3 of example 4 is outside the 3 classes"),
        (Y.masked_fill(torch.arange(20) == 4, -1), "label -1 of example 4 is outside the 3"),
        (Y.float(), r"labels y are whole numbers of shape \(20,\), not torch.float32 \(20,\)"),
        (Y[:, None], r"labels y are whole numbers of shape \(20,\), not torch.int64 \(20, 1\)"),
        (Y[:3], r"the context y has shape \(3,\), but there are 20 x"),
    ],
)
def test_labels_that_are_none_are_told_in_one_line(y, message):
    pair = labelled()
    with pytest.raises(ValueError, match=message):
        pair.guide(X, y)
    problems = explain(*pair, X, y).problems
    assert problems and "\n" not in problems[0]
    if len(y) == len(X):
        with pytest.raises(ProgramError, match=message):
            evaluate(*pair, X, y, particles=5)
        with pytest.raises(ProgramError, match=message):
            fit(*pair, (X, y), epochs=1, progress=False)


def test_contexts_that_are_none_are_told_in_one_line():
    pair = in_context()
    for y, message in (
        (Y, "say how many, classes="),
        (CONTEXT[:, 0, 0], r"one number each: y\[:, None\]"),
        (CONTEXT.masked_fill(CONTEXT > 1, torch.nan), "the context y contains nan"),
    ):
        with pytest.raises(ValueError, match=message):
            pair.model(X, y)


def test_a_bad_label_in_a_later_batch_stops_training_and_leaves_the_weights():
    pair = labelled()
    y = Y.clone()
    y[15] = 7  # not in the first batch, nor in the last
    x, y = X.repeat(2, 1), torch.cat([Y, y])
    with pytest.raises((TrainingError, ValueError)):
        fit(*pair, (x, y), epochs=2, batch_size=8, progress=False)
    assert all(p.isfinite().all() for p in pair.parameters())


def test_a_compiled_step_cannot_look_and_says_nan():
    pair = labelled()
    svi = CompiledSVI(*pair, pyro.optim.Adam({"lr": 1e-3}), ELBO(), backend="none", strict=True)
    good = [svi.step(X, Y) for _ in range(3)]
    assert all(value == value for value in good)
    bad = svi.step(X, Y.masked_fill(torch.arange(20) == 4, 3))
    assert bad != bad
