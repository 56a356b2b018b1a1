"""Discrete latents against the sum over all codes; the vector-quantised VAE against its formula."""

from __future__ import annotations

import itertools

import pytest
import torch
from class_programs import assert_equal, bound_gradients, codes, data, gradients, quantised

from pyro_vae import fit, programs
from pyro_vae.evaluation import evaluate, generate, log_evidence
from pyro_vae.likelihoods import Normal
from pyro_vae.networks import MLP
from pyro_vae.objectives import ELBO
from pyro_vae.programs import discrete, vector_quantised
from pyro_vae.programs.code_priors import AutoregressiveCodes, IndependentCodes
from pyro_vae.programs.codebook import Codebook


def by_hand(model, guide, x):
    """log p(x), and the bound with its sum over all codes."""
    q = guide.network(x).log_softmax(-1)
    bound, joint = 0.0, []
    for k in itertools.product(range(3), repeat=2):
        c = torch.cat([torch.eye(3, dtype=x.dtype)[i] for i in k])
        log_p = model.likelihood(c).log_prob(x)
        log_p = log_p + sum(
            f.logits.log_softmax(-1)[i] for f, i in zip(model.priors, k, strict=True)
        )
        log_q = q[:, 0, k[0]] + q[:, 1, k[1]]
        bound = bound + log_q.exp() * (log_p - log_q)
        joint.append(log_p)
    return torch.stack(joint).logsumexp(0), bound


def test_bound_and_gradients_are_the_sum_over_all_codes():
    model, guide, (x,) = codes()
    evidence, expected = by_hand(model, guide, x)
    objective = ELBO()
    terms = objective.terms(model, guide, x)
    torch.testing.assert_close(objective.split(terms).elbo, expected.detach())
    ours = gradients(objective.bound(terms), model, guide)
    assert_equal(ours, gradients(expected.sum(), model, guide))
    found = log_evidence(model, guide, x, particles=4000)
    error = 5 * (1 / found.effective_sample_size).sqrt() + 1e-3
    assert ((found.log_evidence - evidence.detach()).abs() < error).all()
    assert (expected < evidence).all()


def test_leave_one_out_has_the_exact_gradient_for_its_mean():
    """Of 4,000 pairs of particles; each entry within five of its own standard errors."""
    model, guide, (x,) = codes(estimator="leave-one-out")
    exact = gradients(by_hand(model, guide, x)[1].sum(), model, guide)
    torch.manual_seed(0)
    row = guide.network.layers[2].bias
    draws = []
    objective, many = ELBO(particles=2), x.repeat(100, 1)
    for _ in range(40):
        loss = objective.differentiable_loss(model, guide, many) / 100
        draws.append(-torch.autograd.grad(loss, row)[0])
    each = torch.stack(draws)
    error = each.std(0) / len(each) ** 0.5
    assert ((each.mean(0) - exact["1.network.layers.2.bias"]).abs() < 5 * error).all()


def test_what_is_no_code_is_refused():
    with pytest.raises(ValueError, match="at least one class"):
        discrete.Model([], Normal(MLP(2, 4)))
    with pytest.raises(ValueError, match=r"puts out shape \(6, 6\): it is \(batch, codes, classes"):
        discrete.Guide(MLP(4, 6))(torch.zeros(6, 4))


def test_all_that_a_quantised_vae_is_made_of_is_offered():
    assert {"vector_quantised", "codebook", "code_priors"} <= set(programs.__all__)


def test_the_quantised_bound_and_gradients_are_those_of_the_paper():
    model, guide, (x,) = quantised(commitment=0.3)
    book, network = guide.codebook, model.likelihood
    f = guide.encoder(x)
    distance = (f.reshape(6, 3, 1, 2) - book.vectors).norm(dim=-1)
    k = distance.argmin(-1)
    assert torch.equal(book.nearest(f), k)
    e = book.vectors[k].reshape(6, 6)
    prior = model.prior.logits.log_softmax(-1)
    log_k = sum(prior[m, k[:, m]] for m in range(3))
    expected = network(e.detach()).log_prob(x) + log_k
    objective = ELBO()
    terms = objective.terms(model, guide, x)
    torch.testing.assert_close(objective.split(terms).elbo, expected.detach())
    # The paper's three terms, with the straight-through latent.
    z = f + (e - f).detach()
    loss = network(z).log_prob(x) + log_k - (f.detach() - e).square().sum(-1)
    loss = loss - 0.3 * (f - e.detach()).square().sum(-1)
    ours, theirs = gradients(objective.bound(terms), guide, network), gradients(
        loss.sum(), guide, network
    )  # fmt: skip
    assert_equal(ours, theirs)
    assert ours["0.codebook.vectors"].abs().sum() > 0
    guide.eval()
    assert "commitment" not in objective.terms(model, guide, x)
    # A point mass has no noise: the weights are the bound itself.
    found = log_evidence(model, guide, x, particles=3).log_evidence
    torch.testing.assert_close(found, expected.detach())


@pytest.mark.parametrize("kind", [IndependentCodes, AutoregressiveCodes])
def test_a_prior_over_codes_sums_to_one_and_draws_what_it_says(kind):
    torch.manual_seed(2)
    book = Codebook(size=3, width=2, codes=3)
    prior = kind(book)
    for parameter in set(prior.parameters()) - {book.vectors}:
        torch.nn.init.normal_(parameter)
    every = torch.tensor(list(itertools.product(range(3), repeat=3)))
    with torch.no_grad():
        p = prior().expand((27,)).log_prob(book(every)).exp()
        assert p.sum().item() == pytest.approx(1.0, abs=1e-5)
        drawn = book.nearest(prior().sample((20_000,)))
    number = (drawn * torch.tensor([9, 3, 1])).sum(-1)
    seen = number.bincount(minlength=27) / 20_000
    # 27 comparisons at 5 standard errors: a false alarm in 60,000.
    assert ((seen - p).abs() < 5 * (p * (1 - p) / 20_000).sqrt() + 1e-4).all()


def test_a_code_does_not_depend_on_itself_or_later_ones():
    torch.manual_seed(0)
    prior = AutoregressiveCodes(Codebook(size=4, width=1, codes=5), hidden=20)
    k = torch.zeros(5, dtype=torch.int64)
    for m in range(5):
        other = k.clone()
        other[m] = 3
        changed = (prior.logits(k) != prior.logits(other)).any(-1)
        assert not changed[: m + 1].any()
        assert changed[m + 1 :].all()


def test_a_prior_that_is_fitted_afterwards_knows_the_codes():
    """Codes in which the second is always the first: entropy log 2 in all, not 2 log 2."""
    torch.manual_seed(0)
    book = Codebook(size=2, width=1, codes=2)
    book.vectors.data.copy_(torch.tensor([[-1.0], [1.0]]))
    encoder = torch.nn.Identity()
    x = torch.tensor([[-1.0, -1.0], [1.0, 1.0]]).repeat(50, 1)
    likelihood = Normal(torch.nn.Identity(), scale=1.0)
    guide = vector_quantised.Guide(encoder, book)
    book.requires_grad_(False)
    likelihood.requires_grad_(False)
    bounds = {}
    for kind in (IndependentCodes, AutoregressiveCodes):
        model = vector_quantised.Model(kind(book), likelihood)
        fit(model, guide, x, epochs=40, batch_size=100, lr=0.1, progress=False)
        bounds[kind] = evaluate(model, guide, x, particles=1).kl
    assert bounds[IndependentCodes] == pytest.approx(2 * torch.tensor(2.0).log().item(), abs=0.01)
    assert bounds[AutoregressiveCodes] == pytest.approx(torch.tensor(2.0).log().item(), abs=0.03)
    drawn = generate(model, x, 200)
    assert (drawn[:, 0] == drawn[:, 1]).float().mean() > 0.95


def test_codebooks():
    book = Codebook(size=4, width=2, codes=3)
    z = data()[:, :4].float().repeat(1, 2)[:, :6]
    book.place(z, torch.Generator().manual_seed(0))
    assert (torch.cdist(book.vectors, z.reshape(-1, 2)).amin(-1) == 0).all()
    with pytest.raises(ValueError, match="has 6 numbers, not 5"):
        book.nearest(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="4 vectors need as many encodings, and there are 3"):
        book.place(z[:1])
    with pytest.raises(ValueError, match="width of a codebook is at least 1, not 0"):
        Codebook(4, 0, 1)
    with pytest.raises(ValueError, match="commitment is a number from 0 on"):
        quantised(commitment=float("nan"))
    assert bound_gradients(ELBO(), *quantised()[:2], data())
