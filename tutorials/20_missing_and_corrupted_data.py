# %% [markdown]
# # 20. Missing and corrupted data
#
# Real tables have holes, and real measurements are spoilt. A model of $p(x)$ can live with both, if
# we say what happened to the data in the same language in which we said how they came about. This
# chapter writes down three such stories: entries lost at random, entries lost *because of what
# they were*, and inputs that are spoilt on purpose. Each is one changed line in a Pyro program.
#
# Most of it happens in a model where everything is Gaussian, so that what the programs compute can be
# held against the conditional distribution itself.
#
# You will see
#
# 1. what a mask is in a Pyro program, and two ways to get it wrong that can go unseen,
# 2. a bound on the evidence of what is known, and imputations that agree with the exact conditional,
# 3. a bias that no amount of data removes, and a mask model that does,
# 4. which bound a *denoising* autoencoder optimises, and an encoder that undoes a corruption.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import math

import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch.distributions import kl_divergence

from pyro_vae import data, evaluation, fit, plots, terms
from pyro_vae.likelihoods import Bernoulli, Normal
from pyro_vae.networks import MLP
from pyro_vae.objectives import ImportanceWeightedELBO
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import denoising, missing, not_at_random, vae
from pyro_vae.programs.corruption import SaltAndPepper

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

# %% [markdown]
# ## What may be left out
#
# Write $s_i = 1$ where entry $x_i$ is known and $0$ where it is missing; $s$ is the **mask**. What we
# hold is the pair $(x_{\mathrm{obs}}, s)$, so its probability is what counts:
#
# $$ p(x_{\mathrm{obs}}, s) = \int p(x_{\mathrm{obs}}, x_{\mathrm{mis}})\, p(s \mid x_{\mathrm{obs}}, x_{\mathrm{mis}})\, dx_{\mathrm{mis}}. $$
#
# If the mask does not depend on what it hides, $p(s \mid x) = p(s \mid x_{\mathrm{obs}})$, it comes out of the
# integral: the data are **missing at random**, and $\theta$ (which has no part in the mask) is learned from
# $p_\theta(x_{\mathrm{obs}})$ alone. And
# where the entries of $x$ are independent given $z$, integrating out the missing ones means to leave
# them out of the product,
#
# $$ p(x_{\mathrm{obs}} \mid z) = \prod_{i\,:\,s_i = 1} p(x_i \mid z). $$
#
# Our example is a table of five columns with two common causes, half of it lost by the toss of a coin.
# All of it is Gaussian, so $p(x_{\mathrm{obs}})$ and $p(x_{\mathrm{mis}} \mid x_{\mathrm{obs}})$ are formulas.

# %%
W = torch.tensor([[1.5, 0.0], [1.2, 0.6], [0.8, -0.8], [0.0, 1.2], [-0.9, 0.7]])
mean, sigma = torch.tensor([2.0, 1.0, 0.0, -1.0, -2.0]), 0.6
truth = data.LinearGaussian(W, mean, sigma)


def given(model, x, s):
    """log p(x_obs), and mean and covariance of the whole x given x_obs, of each row."""
    C = model.W @ model.W.T + model.sigma**2 * torch.eye(model.features)
    s = s.to(C)
    # The known part of C; a missing entry becomes a standard normal of its own, taken off again.
    known = s[:, :, None] * C * s[:, None, :] + torch.diag_embed(1 - s)
    d = s * (x - model.mean)
    log_p = dist.MultivariateNormal(torch.zeros(model.features), known).log_prob(d)
    gain = C * s[:, None, :] @ torch.linalg.inv(known)
    mean = model.mean + (gain @ d[..., None]).squeeze(-1)
    return log_p + (1 - s).sum(-1) * math.log(2 * math.pi) / 2, mean, C - gain @ (s[..., None] * C)


n = 300 if SMOKE else 2000
x = truth.sample(n, generator=torch.Generator().manual_seed(1))
s = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) < 0.5
log_evidence, conditional_mean, conditional_covariance = given(truth, x, s)
print(f"{s.double().mean():.0%} of the entries are known, {s.all(1).sum()} of {n} rows are whole")

# %% [markdown]
# ## A mask in a Pyro program
#
# The five numbers of a row are one event, and the mask belongs to each of them. So `.mask(s)` comes
# *before* `.to_event(1)`: first each number's log-probability is kept or dropped, then they are
# summed. The guide is the exact posterior of $z$ given what is known; it differs from row to row in its
# covariance, too, since rows differ in how much they tell.


# %%
def model(x, s):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        each = dist.Normal(z @ W.T + mean, sigma).mask(s)
        pyro.sample("x", each.to_event(1), obs=x)


def exact_guide(x, s):
    seen = W * s[..., None]  # the rows of W whose entries are known
    precision = torch.eye(2) + seen.mT @ seen / sigma**2
    pull = seen.mT @ (x - mean)[..., None] / sigma**2
    loc = torch.linalg.solve(precision, pull).squeeze(-1)
    with pyro.plate("data", len(x)):
        pyro.sample("z", dist.MultivariateNormal(loc, precision_matrix=precision))


log_weights = terms.site_terms(model, exact_guide, x, s, particles=2).log_weights
error = (log_weights - log_evidence).abs().max()
print(f"largest |log w - log p(x_obs)|: {error:.1e}")
assert error < 1e-10  # rounding, some hundred operations on numbers of size 10

# %% [markdown]
# With the exact posterior each weight is the evidence of the known entries, row by row. So the program
# says what the formula says. Here are some that do not.

# %%
loc = mean.clone().requires_grad_()  # a parameter, to see what a gradient becomes
holes = torch.where(s, x, torch.nan)


def attempt(masked, x, s, validate=True):
    """log p and its gradient, of a program with this kind of mask; or what Pyro says to it."""
    try:
        with pyro.validation_enabled(validate), pyro.plate("data", len(x)):
            p = masked(dist.Normal(loc, sigma).expand(x.shape), s)
            log_p = poutine.trace(lambda: pyro.sample("x", p, obs=x)).get_trace().log_prob_sum()
    except ValueError as error:
        return str(error).splitlines()[0]
    (gradient,) = torch.autograd.grad(log_p, loc)
    return f"log p = {log_p:.3f}, gradient {[round(g, 1) for g in gradient.tolist()]}"


def before(p, s):
    return p.mask(s).to_event(1)


def after(p, s):
    return p.to_event(1).mask(s)


said = {
    "before to_event": attempt(before, x[:6], s[:6]),
    "after it": attempt(after, x[:6], s[:6]),
    "nan in the holes": attempt(before, holes[:6], s[:6]),
    "and unvalidated": attempt(before, holes[:6], s[:6], validate=False),
    "before, 5 rows": attempt(before, x[:5], s[:5]),
    "after, 5 rows": attempt(after, x[:5], s[:5]),
}
for name, words in said.items():
    print(f"{name:17s} {words}")

right = said["before to_event"].split(",")[0]
assert said["and unvalidated"].startswith(right)  # the value is right ...
assert "nan" in said["and unvalidated"] and "nan" not in said["before to_event"]  # ... and useless
assert "log p =" not in said["after it"] + said["nan in the holes"]
assert (
    said["after, 5 rows"].startswith("log p =") and said["after, 5 rows"] != said["before, 5 rows"]
)

# %% [markdown]
# A mask after `to_event` meets one log-probability a *row* and cannot be spread over its five entries.
# Pyro says so, in a message about shapes, **unless the batch has as many rows as there are columns**:
# then the shapes happen to fit, and the number is wrong. (`poutine.mask` around the site does the same.)
# Holes left as nan are refused by validation only. Without it the value is right and the gradient is not
# a number, since zero times nan is nan. So fill the holes first, with any number.
# {py:class}`pyro_vae.programs.missing.Model` takes the holes as nan, or a mask, and does that. Its
# program is the one at the top of this section, with a network in place of $W$.
#
# ## Learning from what is known
#
# A guide must now answer for each of the $2^5$ masks. It is given the row with zeros in the holes
# and the mask itself, and its covariance is diagonal, so it will not be exact. A bound with
# $K$ weighted samples forgives that,
#
# $$ \mathcal L_K = \mathbb E_{z_k \sim q(z \mid x_{\mathrm{obs}})}\left[\log \frac1K \sum_{k=1}^K
#    \frac{p(x_{\mathrm{obs}}, z_k)}{q(z_k \mid x_{\mathrm{obs}})}\right] \;\le\; \log p(x_{\mathrm{obs}}), $$
#
# the importance-weighted bound of [chapter 10](10_tighter_bounds.py), used on incomplete rows; its
# authors call it MIWAE. We train it on the table with holes. Beside it stand two fits
# of what one does without a model of the holes: drop the rows that are not whole, or fill
# holes with the column's mean. Either way the maximum-likelihood solution for the rest is known, so only
# the treatment of the holes differs.

# %%
torch.manual_seed(0)
learned = missing.Model(StandardNormal(2), Normal(MLP(2, 5, hidden=[])))  # a linear decoder
encoder = missing.Guide(DiagonalNormal(MLP(2 * 5, 2 * 2, hidden=[64])), append_mask=True)
objective, epochs = ImportanceWeightedELBO(particles=10), 2 if SMOKE else 80
_ = fit(
    learned, encoder, holes, objective=objective, epochs=epochs, batch_size=500, lr=3e-2,
    compile=False, progress=False,
)  # fmt: skip


def closed_form(model):
    """The linear model that a trained one is, so that nothing about it need be estimated."""
    layer, scale = model.likelihood.network.layers[0], model.likelihood.log_scale.exp()
    return data.LinearGaussian(layer.weight.detach(), layer.bias.detach(), scale.item())


def joint(model):
    noise = torch.full_like(model.mean, model.sigma**2)
    return dist.LowRankMultivariateNormal(model.mean, model.W, noise)


column_means = (x * s).sum(0) / s.sum(0)
found = closed_form(learned)
fits = {
    "whole rows only": data.LinearGaussian.fit(x[s.all(1)], 2),
    "means in the holes": data.LinearGaussian.fit(torch.where(s, x, column_means), 2),
    "bound on the known": found,
}
lost = {name: float(kl_divergence(joint(truth), joint(model))) for name, model in fits.items()}
for name, nats in lost.items():
    print(f"{name:20s} KL(truth || fit) = {nats:.3f} nats")
assert SMOKE or 2 * lost["bound on the known"] < lost["whole rows only"]
assert SMOKE or 2 * lost["whole rows only"] < lost["means in the holes"]

# %% [markdown]
# Rows that are whole are a fair sample, but there are few of them. Means in the holes use all rows
# and teach the model that columns hardly vary together. The bound uses every known number and nothing
# else. That it *is* a bound, and rises with $K$, can be seen on new rows, since the evidence of the
# learned model is a formula.

# %%
new = truth.sample(50 if SMOKE else 400, generator=torch.Generator().manual_seed(3))
there = torch.rand(new.shape, generator=torch.Generator().manual_seed(4)) < 0.5
there[:, 3] = True  # so that no row is empty
exact_evidence, exact_mean, exact_covariance = given(found, new, there)
counts = [1, 10, 100] if SMOKE else [1, 10, 100, 1000]
bounds, misses = [], []
for K in counts:
    estimate = evaluation.log_evidence(learned, encoder, new, there, particles=K)
    filled = evaluation.impute(learned, encoder, new, there, particles=K)
    bounds.append(estimate.mean)
    misses.append((filled - exact_mean)[~there].square().mean().sqrt().item())
    print(f"K = {K:4d}: bound {bounds[-1]:.4f}, imputed mean off by {misses[-1]:.4f}")
print(f"exact:    {exact_evidence.mean():.4f} nats per example")
assert SMOKE or bounds[0] < bounds[1] < exact_evidence.mean()
assert SMOKE or abs(bounds[-1] - exact_evidence.mean()) < 0.01
assert SMOKE or misses == sorted(misses, reverse=True)

# %% [markdown]
# ## Imputation, single and multiple
#
# The same weights fill the holes. **Single imputation** is the mean of the missing entries given the
# known ones, by self-normalised importance sampling,
#
# $$ \mathbb E[x_{\mathrm{mis}} \mid x_{\mathrm{obs}}] \approx \sum_k \tilde w_k\, \mathbb E[x_{\mathrm{mis}} \mid z_k],
#    \qquad \tilde w_k = w_k \Big/ \sum_j w_j. $$
#
# The table above holds {py:func}`pyro_vae.evaluation.impute` against the exact conditional mean: the
# error falls with $K$, whatever the guide. **Multiple imputation** draws $x_{\mathrm{mis}}$ instead, from
# $p(x_{\mathrm{mis}} \mid x_{\mathrm{obs}})$, by drawing among the $K$ samples in proportion to their weights. Below
# is one row of which only the fourth column is known.

# %% tags=["thumbnail"] mystnb={"image": {"alt": "Left: draws of two missing entries spread along the contours of their exact conditional density, a single imputation sits at its centre. Right: the error of the imputed mean falls with the number of samples like one over its square root"}}
row = new[:1]
only = torch.tensor([[False, False, False, True, False]])
draws = 100 if SMOKE else 400
copies = evaluation.multiple_imputations(
    learned, encoder, row, only, draws=draws, particles=20 * draws
)[:, 0]
centre = evaluation.impute(learned, encoder, row, only, particles=20 * draws)[0]
_, mu, C = (t[0] for t in given(found, row, only))

pair = [0, 1]
density = dist.MultivariateNormal(mu[pair], C[pair][:, pair])
sides = [torch.linspace(-3.2, 3.2, 81) * C[i, i].sqrt() + mu[i] for i in pair]
grid = torch.stack(torch.meshgrid(*sides, indexing="ij"), -1)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
heights = density.log_prob(mu[pair]) - torch.tensor([4.5, 2.0, 0.5])  # 3, 2 and 1 deviations
left.contour(*sides, density.log_prob(grid).T, heights, colors="0.4", linestyles="-")
left.plot(*copies[:, pair].T, ".", ms=4, alpha=0.5, label="multiple imputations")
left.plot(*centre[pair], "k*", ms=12, label="single imputation")
left.plot(*row[0, pair], "X", color="C1", ms=9, label="what was lost")
left.set(xlabel="first column", ylabel="second column", title="contours: exact conditional")
left.legend(frameon=False, fontsize=8, loc="upper left")
right.loglog(counts, misses, "o-", label="impute")
right.loglog(
    counts, misses[1] * (counts[1] / torch.tensor(counts)) ** 0.5, "k:", label="$1/\\sqrt{K}$"
)
right.set(xlabel="samples $K$", ylabel="distance to the exact mean (RMS)")
right.set_yticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"], minor=False)
right.tick_params(which="minor", labelleft=False)
_ = right.legend(frameon=False)

# %% [markdown]
# A single imputation is the best guess of each number, and a column of best guesses is no longer a
# column of data: it varies too little. Whoever computes a standard deviation, a correlation, or an
# interval from it will be too sure. Draws put the spread back.

# %%
single = evaluation.impute(learned, encoder, new, there, particles=500)
many = evaluation.multiple_imputations(
    learned, encoder, new, there, draws=20 if SMOKE else 200, particles=200 if SMOKE else 4000
)
low, high = many.quantile(torch.tensor([0.05, 0.95]), dim=0)
covered = ((low <= new) & (new <= high))[~there].double().mean()
spread = {
    "whole data": new[:, 0].std(),
    "single imputation": single[:, 0].std(),
    "multiple imputations": many[:, :, 0].std(1).mean(),
}
for name, value in spread.items():
    print(f"standard deviation of column 1, {name:20s} {value:.3f}")
print(f"intervals of nine tenths hold the lost entry in {covered:.1%} of all cases")
assert SMOKE or spread["single imputation"] < 0.93 * spread["whole data"]
assert SMOKE or abs(spread["multiple imputations"] / spread["whole data"] - 1) < 0.07
assert SMOKE or abs(covered - 0.9) < 0.04  # 800 entries: three to four standard errors

# %% [markdown]
# ## Missing not at random
#
# People with a high income tell it less often. Then $p(s \mid x)$ depends on what it hides and does *not*
# leave the integral. Here are three columns that share a cause; the first loses its high values.
# Nothing new is needed to say so in Pyro: what is missing is a latent of its own, and **the mask is an
# observed site**.

# %%
loadings, noise = torch.tensor([1.0, 0.8, -0.9]), 0.5
slope, offset = 4.0, 0.0  # logit P(s_1 = 1 | x) = offset - slope * x_1


def model_with_mask(x, s):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
        each = dist.Normal(z * loadings, noise)
        seen = pyro.sample("x", each.mask(s).to_event(1), obs=x)
        unseen = pyro.sample("x_missing", each.mask(~s).to_event(1))
        first = torch.where(s, seen, unseen)[..., 0]
        pyro.sample("mask", dist.Bernoulli(logits=offset - slope * first), obs=s[:, 0].to(x))


def guide_with_missing(x, s):
    seen = loadings * s
    precision = 1 + seen.square().sum(-1, keepdim=True) / noise**2
    loc = (seen * x).sum(-1, keepdim=True) / noise**2 / precision
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(loc, precision.rsqrt()).to_event(1))  # p(z | x_obs)
        pyro.sample("x_missing", dist.Normal(z * loadings, noise).mask(~s).to_event(1))


people = data.LinearGaussian(loadings[:, None], torch.zeros(3), noise)
x = people.sample(300 if SMOKE else 2000, generator=torch.Generator().manual_seed(5))
s = torch.ones_like(x, dtype=torch.bool)
s[:, 0] = (
    torch.bernoulli(
        (offset - slope * x[:, 0]).sigmoid(), generator=torch.Generator().manual_seed(6)
    )
    > 0
)

rows = (~s[:, 0]).nonzero()[:5, 0]  # five rows that lost their first entry
line = torch.linspace(-8, 8, 4001)
whole = x[rows].repeat(len(line), 1, 1)
whole[..., 0] = line[:, None]
log_density = people.log_evidence(whole) + (slope * line - offset).sigmoid().log()[:, None]
by_quadrature = log_density.logsumexp(0) + math.log(line[1] - line[0])
particles = 1000 if SMOKE else 20_000
sampled = evaluation.log_evidence(
    model_with_mask, guide_with_missing, x[rows], s[rows], particles=particles
)
standard_error = (1 / sampled.effective_sample_size - 1 / particles).sqrt()
off = (sampled.log_evidence - by_quadrature).abs() / standard_error
print(f"log p(x_obs, s) by samples and by quadrature differ by {off.max():.1f} standard errors")
assert (off < 5).all()

# %% [markdown]
# The guide draws what is missing from the model's own $p(x_{\mathrm{mis}} \mid z)$, so that density cancels in
# the weight and what remains is $p(z)\,p(x_{\mathrm{obs}} \mid z)\,p(s \mid x) / q(z \mid x_{\mathrm{obs}})$.
# {py:class}`pyro_vae.programs.not_at_random.Model` is the same program with parts that learn. We fit
# three models: one that ignores the mask, one that is told that *high* values go missing, and one that
# is told the opposite. Truth is known: each column has mean zero.

# %%
epochs = 2 if SMOKE else 100
models, guides = {}, {}
for name in ("ignored", "high", "low"):
    torch.manual_seed(0)
    likelihood, posterior = Normal(MLP(1, 3, hidden=[])), DiagonalNormal(MLP(3, 2, hidden=[16]))
    if name == "ignored":
        models[name] = missing.Model(StandardNormal(1), likelihood)
        guides[name] = missing.Guide(posterior)
    else:
        masking = not_at_random.SelfMasking(3, 3, missing=name)
        models[name] = not_at_random.Model(StandardNormal(1), likelihood, masking)
        guides[name] = not_at_random.Guide(posterior, likelihood)
    _ = fit(
        models[name], guides[name], (x, s), objective=objective, epochs=epochs, batch_size=1000,
        lr=5e-2, compile=False, progress=False,
    )  # fmt: skip

print(f"mean of the first column: all {x[:, 0].mean():+.2f}, known {x[s[:, 0], 0].mean():+.2f}")
learned_mean, imputed = {}, {}
for name in models:
    learned_mean[name] = closed_form(models[name]).mean[0].item()
    copies = evaluation.multiple_imputations(
        models[name], guides[name], x, s, draws=1, particles=100
    )
    imputed[name] = copies[0, ~s[:, 0], 0]
    print(f"mask {name:8s} learned mean {learned_mean[name]:+.2f}")
evidence = {
    name: evaluation.log_evidence(models[name], guides[name], x, s, particles=100).log_evidence
    for name in ("high", "low")
}
print(f"log p(x_obs, s): high {evidence['high'].mean():.3f}, low {evidence['low'].mean():.3f} nats")
standard_error = x[:, 0].std() / len(x) ** 0.5  # of a mean of so many rows
assert SMOKE or learned_mean["ignored"] < -10 * standard_error
assert SMOKE or abs(learned_mean["high"]) < 4 * standard_error
assert SMOKE or learned_mean["low"] < -10 * standard_error
difference = evidence["high"] - evidence["low"]
assert SMOKE or difference.mean() > 5 * difference.std() / len(x) ** 0.5

# %% mystnb={"image": {"alt": "Histograms of the entries that went missing: what they were, and what two models impute; the model that ignores the mask imputes values that are too low"}}
figure, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
bins = torch.linspace(-3, 4, 36).numpy()
ax.hist(x[~s[:, 0], 0], bins, color="0.8", label="what was lost")
for name, label in (("ignored", "mask ignored"), ("high", "mask modelled")):
    ax.hist(imputed[name], bins, histtype="step", lw=1.5, label=f"imputed, {label}")
ax.set(xlabel="missing entries of the first column", ylabel="rows", xlim=(-3.5, 4))
_ = ax.legend(frameon=False, loc="upper right", fontsize=8)

# %% [markdown]
# Ignoring the mask, the model believes the values that it sees, and more rows would not help. With the
# mask model the bias is gone. But look at the third line: told the opposite, the same program does
# no better than ignorance. That its evidence is lower is owed to the assumption that columns are normal,
# which makes a missing upper half conspicuous. If $p(x \mid z)$ were flexible enough, nothing in the data
# would tell. What is known about how data got lost has to come from outside.
#
# ## Spoilt on purpose: the denoising autoencoder
#
# Now let nothing be missing, and show the encoder a spoilt copy $\tilde x \sim c(\tilde x \mid x)$ while the decoder
# has to explain the *clean* $x$. The guide is then a mixture over copies that nobody can sum,
# $\tilde q(z \mid x) = \int q(z \mid \tilde x)\, c(\tilde x \mid x)\, d\tilde x$. What a step maximises, with one copy for each
# example, is
#
# $$ \mathcal L = \mathbb E_{c(\tilde x \mid x)}\, \mathbb E_{q(z \mid \tilde x)}\left[\log \frac{p(x, z)}{q(z \mid \tilde x)}\right]
#    \;\le\; \mathbb E_{\tilde q(z \mid x)}\left[\log \frac{p(x, z)}{\tilde q(z \mid x)}\right] \;\le\; \log p(x). $$
#
# It is an ELBO for every single $\tilde x$, so a mean of ELBOs; the first gap is the information that
# $z$ holds about $\tilde x$ beyond $x$. In the linear model, with noise of scale $\tau$ and the exact
# posterior $\mathcal N(A(x - \mu), S)$ read off at $\tilde x$, the mixture is $\mathcal N(A(x - \mu), S + \tau^2 A A^\top)$, and both
# gaps have closed forms.

# %%
S = truth.posterior(mean[None])[1]
A = S @ W.T / sigma**2
x = truth.sample(500 if SMOKE else 20_000, generator=torch.Generator().manual_seed(7))
everything = torch.ones_like(x, dtype=torch.bool)


def denoising_guide(tau):
    def guide(x, s):
        noisy = x + tau * torch.randn_like(x)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.MultivariateNormal((noisy - mean) @ A.T, S))

    return guide


taus = torch.linspace(0, 1.5, 31)
mixtures = S + taus[:, None, None] ** 2 * (A @ A.T)
log_p = truth.log_evidence(x)
clean = dist.MultivariateNormal(torch.zeros(2), S)
mixture_gap = kl_divergence(dist.MultivariateNormal(torch.zeros(2), mixtures), clean)
information = (torch.logdet(mixtures) - torch.logdet(S)) / 2
for tau, exact_gap in zip(taus[10::10], (mixture_gap + information)[10::10], strict=True):
    gaps = log_p - terms.site_terms(model, denoising_guide(tau), x, everything).log_weights[0]
    error = gaps.std() / len(gaps) ** 0.5
    print(f"tau = {tau:.1f}: log p - L = {gaps.mean():.3f} ± {error:.3f}, exactly {exact_gap:.3f}")
    assert abs(gaps.mean() - exact_gap) < 4 * error

# %% mystnb={"image": {"alt": "Three curves against the noise of the corruption: the log evidence is flat, the bound of the mixture falls, the denoising bound falls further"}}
figure, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
ax.axhline(0, color="k", lw=1, label="log $p(x)$")
ax.plot(taus, -mixture_gap, label=r"ELBO of the mixture $\tilde q$")
ax.plot(taus, -mixture_gap - information, label=r"denoising bound $\mathcal{L}$")
ax.fill_between(taus, -mixture_gap, -mixture_gap - information, alpha=0.2, color="C1")
ax.set(xlabel=r"noise $\tau$ of the copies", ylabel="nats above log $p(x)$")
_ = ax.legend(frameon=False)

# %% [markdown]
# So the criterion is a bound, and a looser one. What it buys is an encoder that can read spoilt inputs.
# Last, digits with salt and pepper: one encoder is trained on clean images, one on spoilt ones, and both
# are shown the same spoilt copies of test images. How good they are at undoing the corruption is
# $\mathcal L$ itself, what the clean image costs when all that was seen is the spoilt one.

# %%
torch.set_default_dtype(torch.float32)
digits = data.load("digits").binarized().flatten()
clean_digits, corruption = digits.test, SaltAndPepper(0.25)
torch.manual_seed(1)
spoilt_digits = corruption.corrupt(clean_digits)


def shown_spoilt(posterior):
    def guide(x, seen):
        with pyro.plate("data", len(x)):
            pyro.sample("z", posterior(seen))

    return guide


cleaned, bound, clean_log_p, errors = {}, {}, {}, {}
for name in ("plain guide", "denoising guide"):
    torch.manual_seed(0)
    decoder = vae.Model(StandardNormal(10), Bernoulli(MLP(10, 64, hidden=[128])))
    posterior = DiagonalNormal(MLP(64, 2 * 10, hidden=[128]))
    plain = name == "plain guide"
    reader = vae.Guide(posterior) if plain else denoising.Guide(posterior, corruption)
    _ = fit(
        decoder, reader, digits, epochs=2 if SMOKE else 100, batch_size=256, lr=5e-3,
        compile=False, progress=False,
    )  # fmt: skip
    told = decoder, shown_spoilt(posterior), clean_digits, spoilt_digits
    bound[name] = evaluation.evaluate(*told, particles=1, elbo_particles=10)
    draws = [evaluation.reconstruct(*told, seed=i) for i in range(10)]
    cleaned[name] = torch.stack(draws).mean(0)
    found = evaluation.log_evidence(decoder, reader, clean_digits, particles=100)
    clean_log_p[name] = found.log_evidence
    errors[name] = (cleaned[name] - clean_digits).square().mean()
    print(f"{name:16s} bound L on spoilt images {bound[name].elbo:.2f} nats, ", end="")
    print(f"squared error {errors[name]:.3f} a pixel; NLL of clean images {-found.mean:.2f} nats")
    assert SMOKE or errors[name] < 0.9 * (spoilt_digits - clean_digits).square().mean()

gain = bound["denoising guide"].elbo - bound["plain guide"].elbo
assert SMOKE or gain > 3 * bound["plain guide"].elbo_stderr
assert SMOKE or abs(errors["denoising guide"] / errors["plain guide"] - 1) < 0.25
price = clean_log_p["plain guide"] - clean_log_p["denoising guide"]  # of the same images
assert SMOKE or price.mean() > 3 * price.std() / len(price) ** 0.5

# %% mystnb={"image": {"alt": "Four rows of digits: clean, spoilt by salt and pepper, and what the plain and the denoising guide make of the spoilt ones"}}
rows = torch.cat([some[:12] for some in (clean_digits, spoilt_digits, *cleaned.values())])
_ = plots.images(
    rows, columns=12, title="clean; spoilt; by the plain guide; by the denoising guide"
)

# %% [markdown]
# Both undo much of it, since the decoder can draw nothing but digits, and by the squared error there is
# little between them. The difference is in the probability that they give to the truth. The plain encoder has
# never met a spoilt image: it is as sure of a wrong code as of a right one, and pays for that in nats. The
# denoising one pays elsewhere: its model gives clean images a lower likelihood, for it was trained
# on the looser bound.
#
# ## Exercises
#
# 1. Fill the holes with $17$ in place of zero, in the masked program and in the guide. Which numbers
#    change, and why must they not in the first?
# 2. Derive the EM algorithm for the linear model with holes, from `given`. Run it on the table and
#    compare its fit with that of the bound.
# 3. Prove that $\log p(x) - \mathcal L = \tfrac{\tau^2}{2} \operatorname{tr}(A^\top S^{-1} A)$ in the linear model, and hold it
#    against the picture.
# 4. In the model of incomes let the *second* column's missingness depend on the first. Is it missing
#    at random if the first is always known? And if it is not? Run all four cases.
# 5. For a fixed model, which $q(z \mid \tilde x)$ maximises $\mathcal L$ on average over $p(x \mid \tilde x)$? Show that in the
#    linear model it is $\mathcal N(\mathbb E[z \mid \tilde x], S)$: the mean reads through the noise, the covariance is still that
#    of the clean posterior. Train one, and see that it never admits what the noise has hidden.
#
# ## Sources
#
# Rubin 1976, *Inference and Missing Data*; Rubin 1987, *Multiple Imputation for Nonresponse in
# Surveys*; Mattei and Frellsen 2019, *MIWAE: Deep Generative Modelling and Imputation of Incomplete
# Data Sets*; Ipsen, Mattei and Frellsen 2021, *not-MIWAE: Deep Generative Modelling with Missing not at
# Random Data*; Vincent, Larochelle, Bengio and Manzagol 2008, *Extracting and Composing Robust Features
# with Denoising Autoencoders*; Im, Ahn, Memisevic and Bengio 2017, *Denoising Criterion for
# Variational Auto-Encoding Framework*.
