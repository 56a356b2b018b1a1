"""The semi-supervised VAE against its bound by hand, row by row; labels that cannot be."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch
from class_programs import LABEL, assert_equal, bound_gradients, gradients, parameters, semi
from pyro import poutine
from torch.distributions import kl_divergence

from pyro_vae.evaluation import decode, evaluate, generate, log_evidence
from pyro_vae.evaluation.classify import classify
from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP, ConvEncoder
from pyro_vae.objectives import ELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import Categorical, StandardNormal
from pyro_vae.programs import semi_supervised
from pyro_vae.programs.inputs import joined
from pyro_vae.programs.labels import Label
from pyro_vae.terms import ProgramError
from pyro_vae.training import fit


def by_hand(model, guide, x, label, z):
    """The bound of each row; z are the draws for each class, ``(classes, n, latent)``."""
    prior, q = model.classes.logits.log_softmax(-1), guide.classifier(x).log_softmax(-1)
    rows = []
    for i in range(len(x)):
        bounds = []
        for k in range(3):
            y = torch.eye(3, dtype=x.dtype)[k]
            posterior = guide.posterior(torch.cat([x[i], y]))
            reconstruction = model.likelihood(torch.cat([y, z[k, i]])).log_prob(x[i])
            kl = kl_divergence(posterior, model.prior())
            bounds.append(reconstruction + prior[k] - kl)
        if label[i] >= 0:
            rows.append(bounds[label[i]])
        else:
            rows.append(sum(q[i, k].exp() * (bounds[k] - q[i, k]) for k in range(3)))
    return torch.stack(rows)


def test_each_rows_bound_and_every_gradient_are_those_by_hand():
    model, guide, args = semi()
    objective = ELBO()
    terms = objective.terms(model, guide, *args)
    z = terms.traces[0][1].nodes["z"]["value"]
    assert z.shape == (3, 6, 2)  # labelled and not in one batch, a draw for each class
    expected = by_hand(model, guide, *args, z)
    torch.testing.assert_close(objective.split(terms).elbo, expected.detach())
    ours = gradients(objective.bound(terms), model, guide)
    assert_equal(ours, gradients(expected.sum(), model, guide))
    assert all(g.abs().sum() > 0 for g in ours.values())


def test_labelled_rows_have_no_entropy_and_teach_the_classifier_nothing():
    for estimator, particles in [("enumerate", 1), ("leave-one-out", 3), ("gumbel-softmax", 1)]:
        model, guide, (x, label) = semi(estimator=estimator)
        told = label >= 0
        objective = ELBO(particles=particles)
        terms = objective.terms(model, guide, x[told], label[told])
        assert (terms["y"].log_q == 0).all()
        assert (terms["label"].log_p == 0).all()
        found = gradients(objective.bound(terms), model, guide)
        for name in parameters(model, guide):
            assert found[name].isfinite().all()
            assert (found[name].abs().max() == 0) == ("classifier" in name), name


def test_the_auxiliary_term_is_in_the_gradient_alone():
    model, guide, (x, label) = semi()
    before = bound_gradients(ELBO(), model, guide, x, label)
    torch.manual_seed(3)
    value = ELBO().loss(model, guide, x, label)
    torch.manual_seed(3)
    before = bound_gradients(ELBO(), model, guide, x, label)
    guide.auxiliary = 2.5
    torch.manual_seed(3)
    assert ELBO().loss(model, guide, x, label) == value
    torch.manual_seed(3)
    after = bound_gradients(ELBO(), model, guide, x, label)
    told = label >= 0
    right = guide.classifier(x).log_softmax(-1)[told, label[told]].sum()
    expected = gradients(2.5 * right, model, guide)
    assert_equal(after, {name: before[name] + expected[name] for name in before})
    plain = ELBO()
    report = plain.split(plain.terms(model, guide, x, label))
    torch.testing.assert_close(report.elbo, report.reconstruction - report.kl)
    guide.eval()
    assert "classification" not in plain.terms(model, guide, x, label)


def test_all_labels_missing_is_the_same_as_none_given():
    model, guide, (x, _) = semi()
    bounds = []
    for more in ((), (torch.full((6,), -1),)):
        torch.manual_seed(0)
        bounds.append(ELBO().loss(model, guide, x, *more))
    assert bounds[0] == pytest.approx(bounds[1], abs=1e-12)


def exact(model, x):
    """log p(x, y) where the decoder is affine: x given y is a normal."""
    layer = model.likelihood.network.layers[0]
    scale = model.likelihood(x.new_zeros(5)).base_dist.scale
    w = layer.weight[:, 3:]
    loc = layer.weight[:, :3].T + layer.bias
    cov = w @ w.T + torch.diag(scale.expand(4) ** 2)
    normal = dist.MultivariateNormal(loc, cov)
    return model.classes.logits.log_softmax(-1) + normal.log_prob(x[:, None])


def test_the_evidence_is_of_x_and_label_or_of_x_alone():
    """An affine decoder, whose evidence is known; weights of 4,000 particles."""
    torch.manual_seed(0)
    model = semi_supervised.Model(
        Categorical(3), StandardNormal(2), Normal(MLP(5, 4, []), scale=1.0)
    )
    guide = semi_supervised.Guide(MLP(4, 3, []), DiagonalNormal(MLP(7, 4, [])))
    for parameter in guide.posterior.parameters():
        parameter.data.zero_()  # the prior itself
    model, guide = model.double(), guide.double()
    x = semi()[2][0]
    with torch.no_grad():
        joint = exact(model, x)
    told = joint.gather(-1, LABEL.clamp(min=0)[:, None]).squeeze(-1)
    expected = torch.where(LABEL >= 0, told, joint.logsumexp(-1))
    found = log_evidence(model, guide, x, LABEL, particles=4000)
    # Relative variance of a mean of K weights is 1/ESS - 1/K: five standard errors.
    error = 5 * (1 / found.effective_sample_size).sqrt() + 1e-3
    assert ((found.log_evidence - expected).abs() < error).all()
    assert found.effective_sample_size.min() > 100
    bound = evaluate(model, guide, x, LABEL, particles=10).elbo
    assert bound < expected.mean()


def test_labels_that_cannot_be_are_named():
    model, guide, (x, label) = semi(auxiliary=1.0)
    wrong = label.clone()
    wrong[4] = 3
    for program in (model, guide):
        with pytest.raises(ValueError, match=r"label 3 of example 4 is outside the 3 classes 0"):
            poutine.trace(program).get_trace(x, wrong).compute_log_prob()
    for value in (label.double(), label >= 0):
        with pytest.raises(ValueError, match="labels are whole numbers, -1 where missing, not"):
            guide(x, value)
    assert model.data_problems(x, label) == [] == model.data_problems(x)
    (line,) = model.data_problems(x, torch.full((6,), -1))
    assert line.startswith("all 6 labels are missing")
    (line,) = model.data_problems(x, wrong)
    assert line.startswith("label 3 of example 4")
    with pytest.raises(ProgramError, match="all 6 labels are missing"):
        fit(model, guide, (x, torch.full((6,), -1)), epochs=1, progress=False)
    with pytest.raises(ValueError, match="auxiliary is a number from 0 on, not -1"):
        semi(auxiliary=-1.0)


def test_a_guide_that_knows_no_labels_is_impossible_with_them():
    """What is told is part of the model, so that it cannot be left out without a word."""
    y = torch.eye(3, dtype=torch.float64)
    assert Label(y).log_prob(torch.tensor([1, 1, -1])).tolist() == [-torch.inf, 0.0, 0.0]
    assert Label(y).sample().tolist() == [0, 1, 2]
    assert Label(y).expand((4, 3)).log_prob(torch.tensor([0, 1, -1])).shape == (4, 3)


def test_one_generates_by_class_and_classifies():
    model, guide, (x, _) = semi()
    assert generate(model, x, n=5).shape == (5, 4)
    chosen = torch.eye(3, dtype=torch.float64)[[2, 2, 0]]
    assert decode(model, x, chosen, site="y").shape == (3, 4)
    found = classify(guide, x)
    torch.testing.assert_close(found, guide.classifier(x).softmax(-1).detach())
    assert joined(torch.zeros(5, 2), torch.zeros(3, 1, 4)).shape == (3, 5, 6)


def test_images_take_the_class_as_channels_also_where_it_is_summed_over():
    torch.manual_seed(0)
    images, label = torch.rand(6, 1, 8, 8).round(), LABEL
    model = semi_supervised.Model(
        Categorical(3), StandardNormal(2), Bernoulli(MLP(3 + 2, (1, 8, 8), [6]))
    )
    posterior = DiagonalNormal(ConvEncoder((1 + 3, 8, 8), 4, channels=[4]))
    guide = semi_supervised.Guide(ConvEncoder((1, 8, 8), 3, channels=[4]), posterior)
    terms = ELBO().terms(model, guide, images, label)
    q = terms["z"].q
    for k in range(3):  # z given each class, of every example
        channels = torch.zeros(6, 3, 8, 8)
        channels[:, k] = 1.0
        alone = posterior(torch.cat([images, channels], 1))
        torch.testing.assert_close(q.mean[k], alone.mean)
    assert evaluate(model, guide, images, label, particles=5).n == 6
