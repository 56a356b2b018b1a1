"""KL by site, latents drawn anew, and completion of what is known in part."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import auxiliary, hierarchical, ours

from pyro_vae import ProgramError
from pyro_vae.evaluation import evaluate, reconstruct
from pyro_vae.evaluation.completion import complete, parted
from pyro_vae.evaluation.layers import kl_per_site, redraw


@pytest.mark.parametrize("order", ["top-down", "bottom-up"])
def test_the_kls_add_up_to_that_of_the_elbo(order):
    case = hierarchical(order)
    kl = kl_per_site(case.model, case.guide, *case.args, particles=40)
    assert list(kl) == ["z2", "z1"] and kl["z1"].shape == (5,)
    report = evaluate(case.model, case.guide, *case.args, particles=1, elbo_particles=40)
    # Other draws: both are means of 40 for each of 5 examples, of terms that vary by some 2 nats.
    spread = 5 * 2 * (2 / (40 * 5)) ** 0.5
    assert abs((kl["z1"] + kl["z2"]).mean().item() - report.kl) < spread


def test_one_latent_has_the_whole_kl():
    case = ours()
    kl = kl_per_site(case.model, case.guide, *case.args)
    report = evaluate(case.model, case.guide, *case.args, particles=1)
    assert kl["z"].mean().item() == pytest.approx(report.kl, rel=1e-5)


def test_a_shared_latent_is_refused():
    case = auxiliary()
    with pytest.raises(ProgramError, match="all examples share site 'shift'"):
        kl_per_site(case.model, case.guide, *case.args)


def test_kept_latents_stay_and_others_are_drawn():
    case = hierarchical()
    x = case.args[0]
    everything = redraw(case.model, case.guide, x, keep=["z2", "z1"], draws=3)
    assert everything.shape == (3, 5, 6)
    assert torch.equal(everything[0], everything[1])
    top = redraw(case.model, case.guide, x, keep=["z2"], draws=200)
    none = redraw(case.model, case.guide, x, draws=200)
    assert top.var(0).mean() > 1e-4
    # What the top holds differs between examples; with nothing kept they are all alike.
    assert top.mean(0).var(0).sum() > 3 * none.mean(0).var(0).sum()


def test_with_everything_kept_they_are_reconstructions():
    case = ours()

    def sure(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Delta(x[:, :2]).to_event(1))

    kept = redraw(case.model, sure, *case.args, keep=["z"], draws=1)
    assert torch.equal(kept[0], reconstruct(case.model, sure, *case.args))


def test_a_latent_to_keep_has_to_be_one():
    case = hierarchical()
    with pytest.raises(ProgramError, match="no latent site 'x' to keep: there are 'z2', 'z1'"):
        redraw(case.model, case.guide, *case.args, keep=["x"])


def test_parted_and_completed_data_are_the_data():
    x = torch.arange(24.0).reshape(2, 3, 4)
    known = torch.rand(3, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    unknown, given = parted(x, known)
    assert unknown.shape[1] + given.shape[1] == 12

    def model(x, y):
        with pyro.plate("data", len(x)):
            loc = y.mean(-1, True).expand(len(y), x.shape[1])
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(loc + z[:, None], 1.0).to_event(1), obs=x)

    filled = complete(model, x.masked_fill(~known, torch.nan), known, draws=3)
    assert filled.shape == (3, 2, 3, 4) and filled.isfinite().all()
    assert torch.equal(filled[:, :, known], x[:, known].expand(3, 2, -1))
    assert not torch.equal(filled[0], filled[1])
    drawn = complete(model, x, known, mean=False)
    assert not torch.equal(drawn[0], filled[0])


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (torch.ones(3), "known is boolean"),
        (torch.ones(4, dtype=torch.bool), r"of shape \(3,\)"),
        (torch.ones(3, dtype=torch.bool), "leave some entries on either side"),
        (torch.zeros(3, dtype=torch.bool), "leave some entries on either side"),
    ],
)
def test_a_mask_that_is_none_is_refused(known, message):
    with pytest.raises(ValueError, match=message):
        parted(torch.zeros(2, 3), known)
