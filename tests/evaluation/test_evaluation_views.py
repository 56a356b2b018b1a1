"""Reconstruction, generation, decoding, encoding: the programs themselves, through handlers."""

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import auxiliary, binary, hierarchical, ours
from linear_gaussian_programs import known
from pyro import poutine

from pyro_vae import evaluation
from pyro_vae.evaluation import decode, encode, generate, reconstruct
from pyro_vae.terms import ProgramError


def two_views(x):
    """Two observed sites, one with labels that have no mean."""
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(3 * z, 1.0).to_event(1), obs=x)
        pyro.sample("y", dist.Categorical(logits=z), obs=(x[:, 0] > 0).long())


def point(x):
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.Delta(x / 2).to_event(1))


def test_reconstruction_is_the_mean_at_a_draw_of_the_guide():
    case = known(n=6)
    torch.manual_seed(3)
    # A point guide leaves nothing random.
    where = torch.randn(6, 3, dtype=torch.float64)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Delta(where).to_event(1))

    expected = where @ case.truth.W.T + case.truth.mean
    torch.testing.assert_close(reconstruct(case.model, guide, case.x), expected)
    drawn = reconstruct(case.model, guide, case.x, samples=True)
    noise = (drawn - expected) / case.truth.sigma
    assert 0.5 < noise.std().item() < 1.5


def test_reconstruction_is_random_in_z_and_repeats():
    case = known()
    first, again, other = (reconstruct(case.model, case.guide, case.x, seed=s) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_samples_of_binary_data_are_binary():
    case = ours()
    mean = reconstruct(case.model, case.guide, *case.args)
    assert ((mean > 0) & (mean < 1)).all()
    for values in (
        reconstruct(case.model, case.guide, *case.args, samples=True),
        generate(case.model, *case.args, mean=False),
    ):
        assert set(values.unique().tolist()) == {0.0, 1.0}


def test_views_are_cut_to_the_budget(monkeypatch):
    sizes = []

    def model(x):
        sizes.append(len(x))
        two_views(x)

    monkeypatch.setattr("pyro_vae.evaluation.capacity.CPU_MEMORY", 2000)
    x = torch.randn(100, 2)
    torch.testing.assert_close(reconstruct(model, point, x, site="x"), 1.5 * x)
    assert max(sizes) < 100
    z = torch.randn(100, 2)
    torch.testing.assert_close(decode(model, x, z, observed="x"), 3 * z)
    assert generate(model, x, 100, site="x").shape == (100, 2)
    assert max(sizes) < 100


def test_several_observed_sites_are_named():
    x = torch.randn(4, 2)
    for call in (
        lambda **options: reconstruct(two_views, point, x, **options),
        lambda **options: generate(two_views, x, 4, **options),
    ):
        assert call(site="x").shape == (4, 2)
        with pytest.raises(ProgramError, match="2 observed sites, 'x', 'y': choose one by site="):
            call()
        with pytest.raises(ProgramError, match="no observed site 'w': it has 'x', 'y'"):
            call(site="w")
        with pytest.raises(ProgramError, match=r"site 'y' \(Categorical\) has no mean"):
            call(site="y")
    assert generate(two_views, x, 4, site="y", mean=False).dtype == torch.long


def test_generated_data_have_the_models_moments():
    case, n = known(), 40_000
    truth = case.truth
    signal = truth.W @ truth.W.T
    noise = truth.sigma**2 * torch.eye(truth.features, dtype=torch.float64)
    for mean, covariance in ((True, signal), (False, signal + noise)):
        x = generate(case.model, case.x, n, mean=mean)
        assert x.shape == (n, truth.features)
        # An entry of a sample covariance has variance (c_ii c_jj + c_ij^2) / n.
        variance = covariance.diag()
        error = ((variance[:, None] * variance + covariance**2) / n).sqrt()
        assert ((x.T.cov() - covariance).abs() < 5 * error).all()
        assert ((x.mean(0) - truth.mean).abs() < 5 * (variance / n).sqrt()).all()


def test_generate_reads_only_the_event_shape():
    case = ours()
    x = torch.full((2, 6), torch.nan)
    assert torch.equal(generate(case.model, x, 5), generate(case.model, binary(4), 5))
    assert generate(case.model, x).shape == (64, 6)
    with pytest.raises(ValueError, match="n is a whole number"):
        generate(case.model, x, 0)
    with pytest.raises(TypeError, match="like is a tensor"):
        generate(case.model, 6)


def test_decode_flattens_the_batch():
    case = known()
    z = torch.randn(2, 4, 3)  # float32, as from a grid: takes the model's type
    expected = z.double().reshape(8, 3) @ case.truth.W.T + case.truth.mean
    torch.testing.assert_close(decode(case.model, case.x, z), expected)


def test_decode_conditions_any_level():
    case = hierarchical()
    x, z = case.args[0], torch.tensor([[0.5, -1.0]])
    low = [decode(case.model, x, z, site="z1", seed=s) for s in (0, 1)]
    assert torch.equal(*low)  # what lies above no longer matters
    high = [decode(case.model, x, z, site="z2", seed=s) for s in (0, 1)]
    assert not torch.equal(*high)  # what lies between is drawn


def test_decode_names_what_is_wrong():
    case = known()
    with pytest.raises(ProgramError, match="no latent site 'w': it has 'z'"):
        decode(case.model, case.x, torch.zeros(1, 3), site="w")
    with pytest.raises(ProgramError, match="no latent site 'x'"):
        decode(case.model, case.x, torch.zeros(1, 5), site="x")
    with pytest.raises(ValueError, match=r"z has shape \(1, 2\).*'z' has shape \(3,\)"):
        decode(case.model, case.x, torch.zeros(1, 2))
    with pytest.raises(ValueError, match="z holds no values"):
        decode(case.model, case.x, torch.zeros(0, 3))


def class_and_style(x):
    with pyro.plate("data", len(x)):
        y = pyro.sample("y", dist.Categorical(x.new_ones(3)))
        z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(10.0 * y[..., None] + z, 1.0).to_event(1), obs=x)


def test_decode_conditions_several_sites():
    y, z = torch.arange(6).reshape(2, 3) % 3, torch.randn(2, 3, 2)
    found = decode(class_and_style, torch.zeros(1, 2), {"y": y, "z": z})
    torch.testing.assert_close(found, (10.0 * y[..., None] + z).reshape(6, 2))
    only = decode(class_and_style, torch.zeros(1, 2), {"y": y})  # z is drawn: 5 standard deviations
    assert ((only - 10.0 * y.reshape(6, 1)).abs() < 5.0).all()
    for wrong, match in (
        ({"y": y[0], "z": z}, "differ in batch shape"),
        ({"y": y, "z": z[..., :1]}, r"'z' has shape \(2, 3, 1\)"),
        ({}, "at least one"),
    ):
        with pytest.raises(ValueError, match=match):
            decode(class_and_style, torch.zeros(1, 2), wrong)
    with pytest.raises(ValueError, match="no site="):
        decode(class_and_style, torch.zeros(1, 2), {"y": y}, site="y")
    with pytest.raises(ProgramError, match="no latent site 'w'"):
        decode(class_and_style, torch.zeros(1, 2), {"y": y, "w": z})


def test_encode_is_the_guides_distribution():
    case = known()
    mean, covariance = case.truth.posterior(case.x)
    q = encode(case.guide, case.x)
    torch.testing.assert_close(q.mean, mean)
    torch.testing.assert_close(q.covariance_matrix, covariance.expand(40, 3, 3))
    assert (q.batch_shape, q.event_shape) == ((40,), (3,))
    case = auxiliary()
    assert encode(case.guide, *case.args, site="z").event_shape == (2,)
    with pytest.raises(ProgramError, match="3 latent sites, 'shift', 'a', 'z'"):
        encode(case.guide, *case.args)


def test_nan_is_told():
    case = ours()
    x = binary().fill_(math.nan)
    for call in (
        lambda: reconstruct(case.model, case.guide, x),
        lambda: encode(case.guide, x),
        lambda: evaluation.active_units(case.guide, x),
        lambda: evaluation.kl_per_dimension(case.model, case.guide, x),
        lambda: evaluation.evaluate(case.model, case.guide, x),
    ):
        with pytest.raises(ProgramError, match="nan"):
            call()
    case = ours("normal")
    next(case.model.likelihood.network.parameters()).data.fill_(math.nan)
    with pytest.raises(ProgramError, match="value at site 'x' is nan: look at the programs' param"):
        generate(case.model, binary())


def test_a_latent_that_the_guide_lacks_is_not_drawn_in_silence():
    def empty(x):
        pyro.plate("data", len(x))

    with pytest.raises(ProgramError, match="latent site 'z' is in the model only"):
        reconstruct(ours().model, empty, binary())


def test_labels_go_along():
    def model(x, y):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z + y, 1.0), obs=x)

    def guide(x, y):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Delta(x - y))

    x, y = torch.arange(3.0), torch.tensor([5.0, 6.0, 7.0])
    torch.testing.assert_close(reconstruct(model, guide, x, y), x)
    torch.testing.assert_close(decode(model, x, torch.zeros(3), y), y)
    torch.testing.assert_close(encode(guide, x, y).mean, x - y)
    assert generate(model, x, 3, y).shape == (3,)


def test_a_latent_that_is_conditioned_on_stays_so_where_data_are_drawn():
    x = torch.randn(5, 2)
    z = torch.arange(10.0).reshape(5, 2)
    fixed = poutine.condition(two_views, data={"z": z})

    def no_latent(x):
        pass

    torch.testing.assert_close(generate(fixed, x, 5, site="x"), 3 * z)
    drawn = generate(fixed, x, 5, site="x", mean=False)
    assert not torch.equal(drawn, x) and (drawn - 3 * z).abs().max() < 5
    drawn = reconstruct(fixed, no_latent, x, site="x", samples=True)
    assert not torch.equal(drawn, x) and (drawn - 3 * z).abs().max() < 5
    # Data that are conditioned on are data all the same.
    labels = poutine.condition(fixed, data={"y": torch.zeros(5, dtype=torch.long)})
    torch.testing.assert_close(generate(labels, x, 5), 3 * z)

    def unaware(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(3 * z, 1.0).to_event(1))

    def by_handler(x):
        return poutine.condition(unaware, data={"x": x})(x)

    assert not torch.equal(generate(by_handler, x, 5, mean=False), torch.zeros(5, 2))
    torch.testing.assert_close(decode(by_handler, x, z), 3 * z)
    both = poutine.condition(by_handler, data={"z": z})
    torch.testing.assert_close(generate(both, x, 5, site="x"), 3 * z)
