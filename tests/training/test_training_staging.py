"""A staged run is the bound: its value and every gradient, for every kind of program."""

from __future__ import annotations

import pyro
import pytest
import torch
from catalogue import CASES
from compiled_cases import BARE, BOUNDS
from compiled_equal import check_equal
from torch import nn

SINGLE, DOUBLE = 1e-5, 1e-10


@pytest.fixture
def double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def _applies(name: str, bound: str) -> bool:
    if name == "discrete":  # its plate has a dimension of its own, left of the particles'
        return "vectorized" not in bound and bound not in ("mean-field", "enum")
    return (name, bound) != ("hierarchical-bottom-up", "mean-field")


# Each program under one bound of Pyro's and one of ours, two under every bound; the rest is slow.
EVERY = ("bare-weighted", "auxiliary")
CROSS = [
    pytest.param(
        *(name, bound),
        marks=[] if name in EVERY or bound in ("trace", "ours") else [pytest.mark.slow],
    )
    for name in CASES
    for bound in BOUNDS
    if _applies(name, bound)
]


@pytest.mark.filterwarnings("ignore:TraceEnum_ELBO found no sample sites")
@pytest.mark.parametrize(("name", "bound"), CROSS)
def test_a_staged_run_equals_the_bound_on_the_catalogue(name, bound):
    case = CASES[name]()
    check_equal(case.model, case.guide, BOUNDS[bound](), case.args, {}, SINGLE)


@pytest.mark.parametrize("name", ["ours-normal", "bare", "discrete"])
def test_a_staged_run_equals_the_bound_in_double_precision(name):
    case = CASES[name]().double()
    for program in (case.model, case.guide):
        for cell in getattr(program, "__closure__", None) or ():
            if isinstance(cell.cell_contents, nn.Module):
                cell.cell_contents.double()
        if isinstance(program, nn.Module):
            program.double()
    check_equal(case.model, case.guide, BOUNDS["ours"](), case.args, {}, DOUBLE)


PAIRS = [
    pytest.param(name, bound, marks=[] if bound == bounds[0] else [pytest.mark.slow])
    for name, bounds in ((name, make().bounds) for name, make in BARE.items())
    for bound in bounds
]
pyro.clear_param_store()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("name", "bound"), PAIRS)
def test_a_staged_run_equals_the_bound_on_bare_programs(name, bound):
    case = BARE[name]()
    check_equal(case.model, case.guide, BOUNDS[bound](), case.args, case.kwargs, SINGLE)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", BARE)
def test_a_staged_run_equals_the_bound_on_bare_programs_in_double_precision(name, double):
    case = BARE[name]()
    bound = BOUNDS[case.bounds[-1]]()  # the other end of what the test above takes
    check_equal(case.model, case.guide, bound, case.args, case.kwargs, DOUBLE)


TWELVE = {
    "ours-bernoulli": "ours",
    "ours-normal-per-dimension": "mean-field",
    "bare-masked": "trace-vectorized",
    "discrete": "trace-particles",
    "hierarchical": "ours-particles",
    "auxiliary": "graph",
    "mixture-parallel": "enum",
    "mixture-sequential": "enum",
    "mixture-in-model": "enum",
    "flow": "mean-field",
    "positive": "renyi",
    "sequential": "trace",
    "modules": "renyi",
    "norms": "trace",
    "auto-normal": "graph",
    "auto-low-rank": "trace",
    "subsampled": "trace",
    "conditional": "mean-field",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TWELVE)
def test_a_compiled_run_equals_the_bound(name, request):
    from torch._inductor import config

    if name == "norms":  # a bias before a batch norm has the gradient 0, and rounding is all of it
        request.getfixturevalue("double")
    case = CASES[name]() if name in CASES else BARE[name]()
    kwargs = getattr(case, "kwargs", {})
    with config.patch(fallback_random=True):
        bound = BOUNDS[TWELVE[name]]()
        check_equal(case.model, case.guide, bound, case.args, kwargs, SINGLE, "inductor")
