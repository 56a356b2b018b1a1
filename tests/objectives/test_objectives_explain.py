"""The table on the wall, and the line for each bad pair."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pyro
import pytest
import torch
from bad_pairs import BAD
from catalogue import CASES, ours
from pairs import GOOD, bare, of_ours
from pyro.infer import Trace_ELBO
from torch import nn

from pyro_vae.checks import check
from pyro_vae.likelihoods import Bernoulli
from pyro_vae.networks import ConvDecoder, ConvEncoder
from pyro_vae.objectives import ELBO, ImportanceWeightedELBO, explain, split
from pyro_vae.objectives.explanation import HEADER
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae
from pyro_vae.terms import ProgramError, site_terms


@pytest.mark.parametrize("name", GOOD)
def test_assert_ok(name):
    case = GOOD[name]()
    explanation = explain(case.model, case.guide, *case.args)
    assert explanation.problems == []
    explanation.raise_for_problems()
    assert len(explanation.rows) >= 2
    assert "problem" not in str(explanation) and "nan" not in str(explanation)


@pytest.mark.parametrize("name", BAD)
def test_assert_error(name):
    build, objective, message = BAD[name]
    case = build()
    explanation = explain(case.model, case.guide, *case.args, objective=objective)
    problems = explanation.problems
    assert problems and re.match(message, problems[0]), "\n".join(problems) or str(explanation)
    for problem in problems:
        assert "\n" not in problem and len(problem) < 300
    assert f"problem: {problems[0]}" in str(explanation)
    with pytest.raises(ProgramError, match=re.escape(problems[0])):
        explanation.raise_for_problems()


def test_the_catalogue_is_long():
    assert len(GOOD) >= 25 and len(BAD) >= 25


@pytest.mark.parametrize("mode", ["auto", "analytic", "sampled"])
@pytest.mark.parametrize("name", GOOD)
def test_the_numbers_are_those_of_split(name, mode):
    case = GOOD[name]()
    explanation = explain(case.model, case.guide, *case.args, objective=ELBO(kl=mode), seed=3)
    if explanation.problems:
        assert mode == "analytic" and (name not in CASES or not case.analytic)
        return
    pyro.set_rng_seed(3)
    with pyro.validation_enabled(False):
        report = split(site_terms(case.model, case.guide, *case.args), mode)
    nats = {row[0]: float(row[-1]) for row in explanation.rows}
    observed = sum(n for row, n in zip(explanation.rows, nats.values(), strict=True) if not row[6])
    # Each number is rounded to a hundredth.
    half = 0.005 * (len(nats) + 1)
    assert sum(nats.values()) == pytest.approx(report.elbo.mean().item(), abs=half)
    assert observed == pytest.approx(report.reconstruction.mean().item(), abs=half)
    (line,) = [note for note in explanation.notes if note.startswith("ELBO = ")]
    left, right = re.match(r"ELBO = (.*) = (\S+) nats per example", line).groups()
    assert float(right) == pytest.approx(report.elbo.mean().item(), abs=0.00501)
    terms = left.replace(" - ", " -").replace(" + ", " ").split()
    assert [float(term) for term in terms] == list(nats.values())


def test_the_table_of_the_first_vae():
    case = ours()
    assert str(explain(case.model, case.guide, *case.args)).splitlines() == [
        "site  kind      p          q       plate  event  KL        gradient   nats",
        "────  ────────  ─────────  ──────  ─────  ─────  ────────  ────────  ─────",
        "z     latent    Normal     Normal  data   2      analytic  pathwise  -0.45",
        "x     observed  Bernoulli          data   6                          -4.19",
        "parameters: theta 42 (model), phi 48 (guide)",
        "ELBO = -0.45 - 4.19 = -4.64 nats per example",
    ]


def test_the_table_of_a_richer_program():
    case = CASES["auxiliary"]()
    explanation = explain(case.model, case.guide, *case.args)
    assert [row[:-1] for row in explanation.rows] == [
        ("shift", "latent", "Normal", "Normal", "none", "scalar", "analytic", "pathwise"),
        ("z", "latent", "Normal", "Normal", "data", "2", "analytic", "pathwise"),
        ("pull", "factor", "", "", "data", "", "", ""),
        ("x", "observed", "Normal", "", "data", "6", "", ""),
        ("a", "auxiliary", "", "Normal", "data", "scalar", "sampled", "pathwise"),
    ]
    assert explanation.notes[0] == (
        "parameters: theta 0 (model), phi 80 (guide, of which 79 are the model's too)"
    )
    assert explanation.notes[-1].endswith("(with an example's part of 'shift', which all share)")


def test_the_table_of_nested_plates_and_images():
    case = CASES["discrete"]()
    rows = {row[0]: row for row in explain(case.model, case.guide, *case.args).rows}
    assert rows["c"][4:8] == ("data, pixels", "scalar", "sampled", "score function")
    decoder = ConvDecoder(2, (1, 4, 5), [2])
    guide = vae.Guide(DiagonalNormal(ConvEncoder((1, 4, 5), 4, [2])))
    images = explain(
        vae.Model(StandardNormal(2), Bernoulli(decoder)), guide, torch.ones(3, 1, 4, 5)
    )
    assert images.rows[1][5] == "1×4×5"


@pytest.mark.parametrize(
    ("name", "objective", "notes"),
    [
        ("ours-bernoulli", None, []),
        ("Student t prior", None, [r"'z' is sampled: no closed form is registered for Normal ag"]),
        ("Student t prior", ELBO(kl="sampled"), []),
        ("Student t prior", Trace_ELBO(), []),
        ("hierarchical-bottom-up", None, [r"'z1' is sampled: the guide draws 'z2', a possible p"]),
        ("discrete", None, [r"'b' is sampled: q is not reparam", r"'c' is sampled: q is not repa"]),
        (
            "flow",
            None,
            [r"'z' is sampled: no closed form is registered for flow on Normal against"],
        ),
    ],
)
def test_it_says_where_the_kl_is_sampled_and_why(name, objective, notes):
    case = GOOD[name]()
    explanation = explain(case.model, case.guide, *case.args, objective=objective)
    said = [note for note in explanation.notes if note.startswith("KL of ")]
    assert len(said) == len(notes)
    for note, expected in zip(said, notes, strict=True):
        assert re.match("KL of " + expected, note)


@pytest.mark.parametrize("name", ["scaled alike", "bare-subsampled"])
def test_it_says_what_the_objective_counts_more_than_once(name):
    case = GOOD[name]()
    (note,) = [n for n in explain(case.model, case.guide, *case.args).notes if "counts" in n]
    scale = 10 if name == "bare-subsampled" else 2
    assert re.match(rf"the objective counts 'z', '(x|obs)' {scale} times \(subsampling or", note)


class Cells(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: dict[str, list[str]] = {"th": [], "td": [], "p": []}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag in self.found:
            self.found[tag].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.found[self.open[-1]][-1] += data


@pytest.mark.parametrize("name", ["auxiliary", "bare"])
def test_the_html_says_what_the_text_says(name):
    case = GOOD[name]()
    explanation = explain(case.model, case.guide, *case.args)
    cells = Cells(explanation._repr_html_())
    assert cells.open == []
    assert tuple(cells.found["th"]) == HEADER
    assert cells.found["td"] == [cell for row in explanation.rows for cell in row]
    assert cells.found["p"] == explanation.notes


def test_the_html_escapes_names():
    for case in (bare(names=("<b>", "<b>")), bare(names=("<b>", "<i>"))):
        pyro.clear_param_store()
        html = explain(case.model, case.guide, *case.args)._repr_html_()
        assert "&lt;b&gt;" in html and "<b>" not in html


class Normed(nn.Module):
    """A batch norm, a dropout and a linear layer: all that a run may change."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 4))

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("kind", ["program", "function"])
@pytest.mark.parametrize("look", [check, explain])
def test_nothing_is_changed(look, kind):
    case = of_ours(guide=vae.Guide(DiagonalNormal(Normed())))
    if kind == "function":  # the network in a list, where no look at names finds it
        networks = [case.guide.posterior]

        def guide(x):
            pyro.module("norm", networks[0])
            with pyro.plate("data", len(x)):
                pyro.sample("z", networks[0](x))

        case.guide, modules = guide, [case.model, *networks]
    else:
        modules = [case.model, case.guide]
    pyro.param("mine", torch.ones(2))
    before = [{k: v.clone() for k, v in module.state_dict().items()} for module in modules]
    random, data = torch.get_rng_state(), case.args[0].clone()
    look(case.model, case.guide, *case.args)
    for module, state in zip(modules, before, strict=True):
        for name, value in module.state_dict().items():
            assert torch.equal(value, state[name]), name
        assert all(p.grad is None and p.requires_grad for p in module.parameters())
        assert module.training
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(case.args[0], data)
    assert pyro.infer.util.is_validation_enabled()
    names = set(pyro.get_param_store())
    assert "mine" in names
    assert all(name.startswith(("mine", "Model[", "Guide[", "norm$$$")) for name in names)


def test_the_same_seed_shows_the_same_numbers():
    case = ours()
    shown = [str(explain(case.model, case.guide, *case.args, seed=seed)) for seed in (0, 0, 1)]
    assert shown[0] == shown[1] != shown[2]


def test_keyword_arguments_are_passed():
    case = bare()
    assert explain(case.model, case.guide, x=case.args[0]).problems == []


def test_theta_phi_and_what_both_register():
    case = ours()
    found = check(case.model, case.guide, *case.args)
    assert {id(t) for t in found.theta.values()} == {id(p) for p in case.model.parameters()}
    assert {id(t) for t in found.phi.values()} == {id(p) for p in case.guide.parameters()}
    assert found.shared == set() and found.model.nodes["x"]["is_observed"]
    both = CASES["bare"]()
    found = check(both.model, both.guide, *both.args)
    assert found.theta == {} and found.shared == found.phi.keys() and len(found.phi) == 10


def test_no_activations_are_kept():
    # A look at a whole data set must cost no more memory than running the networks on it.
    case = ours()
    found = check(case.model, case.guide, *case.args)
    density = found.model.nodes["x"]["fn"].log_prob(found.model.nodes["x"]["value"]).sum()
    with pytest.raises(RuntimeError):
        density.backward()


@pytest.mark.parametrize("objective", [ELBO, "analytic", 3])
def test_an_objective_that_is_none(objective):
    case = ours()
    with pytest.raises(TypeError, match="objective is an ELBO of ours or of Pyro's, not"):
        explain(case.model, case.guide, *case.args, objective=objective)


@pytest.mark.parametrize("particles", [1, 3])
def test_a_bound_of_importance_weights_takes_no_kl_in_closed_form(particles):
    case = CASES["ours-bernoulli"]()
    (row, *_) = explain(
        case.model, case.guide, *case.args, objective=ImportanceWeightedELBO(particles)
    ).rows
    assert row[0] == "z" and row[6] == "sampled"
