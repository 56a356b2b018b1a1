"""An evaluation changes nothing, and repeats."""

import copy

import pyro
import pyro.distributions as dist
import pytest
import torch
from catalogue import CASES, binary
from torch import nn

from pyro_vae import evaluation
from pyro_vae.evaluation.undisturbed import undisturbed
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae

CALLS = {
    "log_evidence": lambda m, g, x: evaluation.log_evidence(m, g, x, particles=3).log_evidence,
    "evaluate": lambda m, g, x: torch.tensor(evaluation.evaluate(m, g, x, particles=3).elbo),
    "reconstruct": evaluation.reconstruct,
    "reconstruct-samples": lambda m, g, x: evaluation.reconstruct(m, g, x, samples=True),
    "generate": lambda m, g, x: evaluation.generate(m, x, 4),
    "decode": lambda m, g, x: evaluation.decode(m, x, torch.zeros(3, 2)),
    "encode": lambda m, g, x: evaluation.encode(g, x).mean,
    "active_units": lambda m, g, x: evaluation.active_units(g, x).variance,
    "kl_per_dimension": evaluation.kl_per_dimension,
}


def delicate():
    """Programs with all that an evaluation could disturb: dropout, batch norm, mixed modes."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 4))
    decoder = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Linear(8, 6))
    encoder[1].eval()  # frozen by the user
    encoder[0].weight.requires_grad_(False)
    for parameter in (*encoder.parameters(), *decoder.parameters()):
        parameter.grad = torch.ones_like(parameter)
    return encoder, decoder


def programs(kind):
    encoder, decoder = delicate()
    if kind == "modules":
        model = vae.Model(StandardNormal(2), Bernoulli(decoder))
        guide = vae.Guide(DiagonalNormal(encoder))
        return encoder, decoder, model, guide

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            loc, raw = encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, raw.exp()).to_event(1))

    return encoder, decoder, model, guide


@pytest.mark.parametrize("kind", ["modules", "functions"])
@pytest.mark.parametrize("call", CALLS)
def test_nothing_changes(call, kind):
    encoder, decoder, model, guide = programs(kind)
    nets = nn.ModuleList([encoder, decoder])
    nets[1].eval()
    nets[1][1].train()
    before = copy.deepcopy(nets)
    modes = [m.training for m in nets.modules()]
    x = binary(9)
    random_numbers = torch.get_rng_state()
    validation = torch.distributions.Distribution._validate_args
    first = CALLS[call](model, guide, x)
    assert torch.equal(torch.get_rng_state(), random_numbers)
    assert [m.training for m in nets.modules()] == modes
    assert torch.is_grad_enabled()
    assert torch.distributions.Distribution._validate_args is validation
    for (name, new), old in zip(
        nets.state_dict().items(), before.state_dict().values(), strict=True
    ):
        assert torch.equal(new, old), name
    for new, old in zip(nets.parameters(), before.parameters(), strict=True):
        assert torch.equal(new.grad, torch.ones_like(new))
        assert new.requires_grad == old.requires_grad
    assert not first.requires_grad
    torch.manual_seed(5)
    assert torch.equal(CALLS[call](model, guide, x), first)


def test_modes_come_back_after_an_error():
    net = nn.Sequential(nn.Dropout(), nn.Dropout())
    net[1].eval()
    with pytest.raises(KeyboardInterrupt), undisturbed(net):
        assert not net.training
        raise KeyboardInterrupt
    assert (net.training, net[0].training, net[1].training) == (True, True, False)


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_program_is_evaluated(name):
    case = CASES[name]()
    report = evaluation.evaluate(case.model, case.guide, *case.args, particles=3)
    assert report.n == 5
    assert (report.nll is None) == (name == "auxiliary")
    assert evaluation.reconstruct(case.model, case.guide, *case.args).shape == (5, 6)
    assert evaluation.generate(case.model, *case.args, 3).shape == (3, 6)


def test_training_goes_on_after_an_evaluation():
    encoder, decoder, model, guide = programs("modules")
    x = binary(9)
    evaluation.evaluate(model, guide, x, particles=2)
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 0.1}), pyro.infer.Trace_ELBO())
    before = [p.clone() for p in (*encoder.parameters(), *decoder.parameters())]
    svi.step(x)
    after = [*encoder.parameters(), *decoder.parameters()]
    assert [not torch.equal(a, b) for a, b in zip(after, before, strict=True)] == [
        p.requires_grad for p in after
    ]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_data_go_to_the_programs():
    _, _, model, guide = programs("modules")
    model.cuda(), guide.cuda()
    state = torch.cuda.get_rng_state()
    for call in CALLS.values():
        assert call(model, guide, binary(9)).isfinite().all()
    assert torch.equal(torch.cuda.get_rng_state(), state)
