"""Bad pairs, each with the line that a user gets."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from catalogue import CASES, Case, binary, ours
from pairs import (
    ANALYTIC,
    at,
    bare,
    blank,
    channels_last,
    collided,
    collided_pyro_modules,
    counts,
    filled,
    flow,
    guide_that,
    long_plate,
    loose_tensor,
    masked,
    mixture,
    of_ours,
    one_vector,
    scaled,
    standard,
    student,
    subsampled_model,
    tutorial,
    unregistered,
    with_data,
)
from pyro import poutine
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import vae

#: name -> (the pair, the objective, the line of the problem as a regular expression).
BAD: dict[str, tuple[Any, Any, str]] = {
    "names differ": (
        lambda: bare(names=("z", "latent")),
        None,
        r"latent site 'z' is in the model only \(the guide has 'latent' instead\): sample it in "
        r"the guide under the same name, or observe it with pyro.sample\(\"z\", ..., obs=...\)",
    ),
    "latent missing from the guide": (
        lambda: guide_that("nothing"),
        None,
        r"latent site 'z' is in the model only \(the guide has no such site\): sample it in",
    ),
    "auxiliary not marked": (
        lambda: bare(before_guide=lambda x: pyro.sample("a", dist.Normal(0.0, 1.0))),
        None,
        r"site 'a' is in the guide only: give it the name of a latent site of the model \('z'\), "
        r"or mark it infer=\{'is_auxiliary': True\}",
    ),
    "guide samples an observed site": (
        lambda: guide_that("samples x"),
        None,
        "site 'x' is observed in the model: remove it from the guide",
    ),
    "guide observes": (
        lambda: guide_that("observes"),
        None,
        "site 'z' is observed in the guide: a guide samples, so remove its obs=",
    ),
    "model observes nothing": (
        lambda: blank(bare()),
        None,
        r"the model observes nothing: give the data to a site, pyro.sample\(..., obs=x\)",
    ),
    "a plate made twice": (
        lambda: guide_that("two plates"),
        None,
        r"the guide has two sites named 'data': give each its own name, and make a plate once",
    ),
    "no plate in the model": (
        lambda: bare(plates=(None, "data")),
        None,
        r"site 'z' lies in no plate in the model and in plate 'data' \(size 5\) in the guide: use "
        r"the same plates in both, such as `with pyro.plate\(\"data\", len\(x\)\):`",
    ),
    "no plate in the guide": (
        lambda: bare(plates=("data", None)),
        None,
        r"site 'z' lies in plate 'data' \(size 5\) in the model and in no plate in the guide: use",
    ),
    "no plate in both": (
        lambda: bare(plates=(None, None)),
        None,
        r"site 'x' in the model \(Bernoulli\) has batch shape \(5,\), but no plate: put "
        r"`with pyro.plate\(\"data\", len\(x\)\):` around it$",
    ),
    "plates differ in name": (
        lambda: bare(plates=("rows", "data")),
        None,
        r"site 'z' lies in plate 'rows' \(size 5\) in the model and in plate 'data' \(size 5\) in",
    ),
    "plates differ in subsampling": (
        subsampled_model,
        None,
        r"site 'z' lies in plate 'data' \(size 5 of 50\) in the model and in plate 'data' \(size 5",
    ),
    "a plate of another length": (
        long_plate,
        None,
        r"site 'z' in the guide has size 5 at batch dimension -1, where plate 'data' has 7: make "
        r"the plate as long as the data, pyro.plate\('data', len\(x\)\)",
    ),
    "no to_event at the data": (
        lambda: bare(likelihood=lambda logits: dist.Bernoulli(logits=logits)),
        None,
        r"site 'x' in the model has size 6 at batch dimension -1, where plate 'data' has 5: move "
        r"the dimensions of one example into the event with \.to_event\(1\)",
    ),
    "no to_event at the data, as many examples as features": (
        lambda: bare(binary(6, 6), likelihood=lambda logits: dist.Bernoulli(logits=logits)),
        None,
        r"site 'x' in the model \(Bernoulli\) has batch shape \(6, 6\), but only plate 'data': "
        r"move the dimensions of one example into the event with \.to_event\(1\)",
    ),
    "no to_event in the guide": (
        lambda: bare(posterior=dist.Normal),
        None,
        r"site 'z' in the guide has size 2 at batch dimension -1, where plate 'data' has 5: move",
    ),
    "no to_event in the guide, as many examples as latents": (
        lambda: bare(binary(2), posterior=dist.Normal),
        None,
        r"site 'z' has event shape \(2,\) in the model and \(\) in the guide: move every latent "
        r"dimension into the event with \.to_event\(1\) in both",
    ),
    "no to_event at either latent, as many examples as latents": (
        lambda: bare(
            binary(2), posterior=dist.Normal, prior=lambda: dist.Normal(torch.zeros(2), 1.0)
        ),
        None,
        r"site 'z' in the guide \(Normal\) has batch shape \(2, 2\), but only plate 'data': move",
    ),
    "latents differ in size": (
        lambda: bare(prior=lambda: dist.Normal(torch.zeros(3), 1.0).to_event(1)),
        None,
        r"site 'z' has event shape \(3,\) in the model and \(2,\) in the guide: make the sizes",
    ),
    "decoder of another size": (
        lambda: of_ours(model=vae.Model(StandardNormal(2), Bernoulli(MLP(2, 7, [4])))),
        None,
        r"data at site 'x' have shape \(5, 6\), but the model's Bernoulli has shape \(5, 7\): make "
        r"the likelihood's network put out events of shape \(6,\)",
    ),
    "decoder of one number, which broadcasting would take": (
        lambda: of_ours(model=vae.Model(StandardNormal(2), Bernoulli(MLP(2, 1, [4])))),
        None,
        r"data at site 'x' have shape \(5, 6\), but the model's Bernoulli has shape \(5, 1\)",
    ),
    "mask after to_event": (
        lambda: masked(event_first=True),
        None,
        r"the model cannot run on data of shape \(5, 6\): shape mismatch.*; a mask of single "
        r"entries goes before the event, dist.Bernoulli\(...\).mask\(m\).to_event\(1\)",
    ),
    "mask by a handler": (
        lambda: (
            (c := bare()) and Case(poutine.mask(c.model, mask=c.args[0].bool()), c.guide, c.args)
        ),
        None,
        r"site 'z' in the model has batch shape \(5,\) and a mask of shape \(5, 6\): mask single "
        r"entries before they go into the event",
    ),
    "discrete site, analytic": (
        mixture,
        ANALYTIC,
        r"site 'c' has no analytic KL: q is not reparameterised, .*; use ELBO\(kl='auto'\) or",
    ),
    "discrete site, TraceMeanField_ELBO": (
        mixture,
        TraceMeanField_ELBO(),
        r"site 'c' has no analytic KL: q is not reparameterised",
    ),
    "no closed form, analytic": (
        student,
        ANALYTIC,
        r"site 'z' has no analytic KL: no closed form is registered for Normal against StudentT; "
        r"use ELBO\(kl='auto'\) or ELBO\(kl='sampled'\)",
    ),
    "flow, analytic": (
        flow,
        ANALYTIC,
        r"site 'z' has no analytic KL: no closed form is registered for flow on Normal against",
    ),
    "latents drawn in another order, analytic": (
        CASES["hierarchical-bottom-up"],
        ANALYTIC,
        r"site 'z1' has no analytic KL: the guide draws 'z2', a possible parent of its prior, aft",
    ),
    "guide outside the prior's support": (
        lambda: bare(prior=lambda: dist.Beta(torch.ones(2), 1.0).to_event(1)),
        None,
        r"site 'z' in the model \(Beta\): the guide's Normal draws \(-?\d.*\), outside the "
        r"support; give model and guide families of one support",
    ),
    "grey": (
        lambda: at(0.25),
        None,
        r"data at site 'x' contain 0.25 at \[1, 2\], outside the support of Bernoulli: binarise "
        r"grey values \(the data set's \.binarized\(\)\), or use ContinuousBernoulli, Laplace, "
        r"Normal or StudentT",
    ),
    "pixels of 0 to 255": (
        lambda: at(255.0),
        None,
        r"data at site 'x' contain 255 at \[1, 2\], outside the support of Bernoulli: use a "
        r"likelihood such as Categorical, NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial, "
        r"Laplace, Normal or StudentT",
    ),
    "negative counts": (
        lambda: counts(-binary()),
        None,
        r"data at site 'x' contain -1 at \[0, \d\], outside the support of Poisson: use a",
    ),
    "fractions as counts": (
        lambda: at(0.5, counts(binary())),
        None,
        r"data at site 'x' contain 0.5 at \[1, 2\], outside the support of Poisson: use a like",
    ),
    "rows that are not one-hot": (
        lambda: one_vector(torch.ones(5, 6)),
        None,
        r"data at site 'x' contain \(1, 1, 1, 1, ...\) at \[0\], outside the support of OneHotCat",
    ),
    "NaN": (
        lambda: at(torch.nan),
        None,
        r"data at site 'x' contain nan at \[1, 2\]: remove or fill such entries \(masked ones too",
    ),
    "infinity": (
        lambda: at(-torch.inf, ours("normal")),
        None,
        r"data at site 'x' contain -inf at \[1, 2\]: remove or fill",
    ),
    "scaled model": (
        lambda: scaled(4.0, 1.0),
        None,
        r"site 'z' is scaled by 4 in the model and 1 in the guide, so its KL has no one weight: "
        r"weight the KL in the objective, not by poutine.scale",
    ),
    "scaled guide": (
        lambda: scaled(1.0, 0.5),
        Trace_ELBO(),
        r"site 'z' is scaled by 1 in the model and 0.5 in the guide",
    ),
    "nothing registered": (
        unregistered,
        None,
        r"module 'encoder' of the guide is not registered, so its 2 parameters would not train: "
        r"call pyro.module\('encoder', ...\) in the guide, or derive the guide from "
        r"pyro_vae.programs.Program",
    ),
    "one of two registered": (
        lambda: tutorial(register=False),
        None,
        r"module 'Tutorial' of the model is not registered, so 2 of its 6 parameters would not",
    ),
    "networks held by an object, not registered": (
        lambda: bare(register=False),
        None,
        r"the guide computes with trainable tensors that are not registered \(shapes \(4, 6\), "
        r"\(4,\)\), so they would not train: give them to pyro.param or their module to pyro.mod",
    ),
    "a loose tensor": (
        loose_tensor,
        None,
        r"the model computes with trainable tensors that are not registered \(shapes \(6,\)\), so "
        r"they would not train: give them to pyro.param",
    ),
    "colliding names": (
        collided,
        None,
        r"param 'encoder.weight' in the guide already holds another module's values, so this "
        r"module would not train: call pyro.clear_param_store\(\) before building it, or rename it",
    ),
    "colliding names of PyroModules": (
        collided_pyro_modules,
        None,
        r"param 'decoder.weight' in the model already holds another module's values",
    ),
    "parameters in another memory layout": (
        channels_last,
        None,
        r".*parameter 'posterior.network.layers.2.weight' of Guide is not contiguous",
    ),
    "data of another shape": (
        lambda: with_data(torch.zeros(5, 7)),
        None,
        r"the guide cannot run on data of shape \(5, 7\): MLP takes events of shape \(6,\) after",
    ),
    "data of another dtype": (
        lambda: with_data(binary().double()),
        None,
        r"the guide cannot run on data of shape \(5, 6\): .*dtype.*; convert the data "
        r"\(x.float\(\)\) or the programs \(\.double\(\)\)",
    ),
    "data without examples": (
        lambda: with_data(torch.zeros(0, 6)),
        None,
        r"the data are empty, of shape \(0, 6\): give at least one example",
    ),
    "data of no dimension": (
        lambda: with_data(torch.tensor(1.0), bare()),
        None,
        r"the guide cannot run on data of shape \(\): len\(\) of a 0-d tensor",
    ),
    "a NumPy array": (
        lambda: with_data(binary().numpy()),
        None,
        r"the guide cannot run on an argument of type ndarray: ",
    ),
    "no data": (
        lambda: Case(ours().model, ours().guide, ()),
        None,
        r"the guide cannot run on no arguments: .*missing 1 required positional argument: 'x'",
    ),
    "network with odd outputs": (
        lambda: of_ours(guide=vae.Guide(DiagonalNormal(MLP(6, 5, [4])))),
        None,
        r"the guide cannot run on data of shape \(5, 6\): DiagonalNormal takes a network with 2 "
        r"\* latent outputs \(means and scales\), not 5",
    ),
    "decoder of another latent": (
        lambda: of_ours(model=vae.Model(StandardNormal(3), Bernoulli(MLP(3, 6, [4])))),
        None,
        r"the model cannot run on data of shape \(5, 6\): MLP takes events of shape \(3,\)",
    ),
    "a class for a program": (
        lambda: Case(vae.Model, ours().guide, (binary(),)),
        None,
        r"the model is the class Model: make one, Model\(...\)",
    ),
    "a number for a program": (
        lambda: Case(ours().model, 3, (binary(),)),
        None,
        r"the guide is 3: give a function or module to be called on the data",
    ),
    "NaN in the likelihood": (
        lambda: filled(Normal(MLP(2, 6, [4])), torch.nan),
        None,
        r"site 'x' in the model \(Normal\): scale is nan; look at the weights and the input of the",
    ),
    "a scale that underflows": (
        lambda: filled(Normal(MLP(2, 6, [4])), -200.0),
        None,
        r"site 'x' in the model \(Normal\): scale is 0, and must be GreaterThan\(lower_bound=0.0\)",
    ),
    "a density that overflows": (
        lambda: bare(likelihood=lambda loc: dist.Normal(loc, 1e-25).to_event(1)),
        None,
        r"site 'x' in the model \(Normal\): its log-probability is -inf: look at the scale of",
    ),
    "a factor that is not finite": (
        lambda: bare(prior=lambda: pyro.factor("pull", torch.tensor(torch.inf)) or standard()),
        None,
        r"site 'pull' in the model \(Unit\): log_factor is inf",
    ),
}
