# %% [markdown]
# # 12. Likelihoods matter
#
# A VAE is a model of $p(x)$, and half of that model is the line `pyro.sample("x", ..., obs=x)`. The
# decoder says where $x$ should be; the family says what it costs to be elsewhere. That cost is set
# against the KL, nat for nat, so it decides how much the latent is allowed to know. Many a "VAE trick"
# is a repair of the wrong family, and many a table compares numbers that have no common unit.
#
# You will see
#
# 1. that cross-entropy on grey pixels is no density, what its missing constant does, and the repair,
# 2. that a fixed noise scale is a weight on the KL in disguise, and what the best scale is,
# 3. which bits per dimension may stand in one table,
# 4. how a wrong family of counts makes a latent see things that are not there.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import math
import warnings

import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from pyro_vae import data, evaluation, fit, likelihoods, posteriors, priors
from pyro_vae.networks import MLP
from pyro_vae.programs import counts, vae
from pyro_vae.training import CollapseWarning

torch.manual_seed(0)
digits = data.load("digits").flatten()
print(digits, "with values", digits.train.unique()[:4].tolist(), "...")

# %% [markdown]
# ## A cross-entropy is not a density
#
# The digits are grey: each pixel is one of seventeen levels in $[0, 1]$. The usual shortcut feeds such
# pixels to the Bernoulli's formula, $\pi^x (1-\pi)^{1-x}$, which at $x \in \{0, 1\}$ is a probability. In
# between, is it one? A density integrates to one. Let us integrate.

# %%
logit = torch.linspace(-8, 8, 161, dtype=torch.float64)
pixel = torch.linspace(0, 1, 4001, dtype=torch.float64)
formula = (logit[:, None] * pixel + torch.nn.functional.logsigmoid(-logit)[:, None]).exp()
integral = torch.trapezoid(formula, pixel)
closed = torch.where(logit == 0, 0.5, torch.tanh(logit / 2) / logit)
print(f"the integral is between {integral.min():.3f} and {integral.max():.3f}, never one")
assert (integral - closed).abs().max() < 1e-6  # the trapezoid rule: h² l² / 12 = 3e-7
assert integral.max() < 0.501

# %% [markdown]
# It is at most a half, and it *depends on the logit*, $\int_0^1 = \tanh(l/2)/l$. So no constant makes up
# for it. Pyro refuses such data by itself:

# %%
try:
    dist.Bernoulli(logits=torch.tensor(0.3)).log_prob(torch.tensor(0.5))
except ValueError as error:
    print("ValueError:", str(error).splitlines()[0][:90])
    refused = True
assert refused

# %% [markdown]
# The repair is to divide by the integral. The **continuous Bernoulli** has the density
# $C(l)\, \pi^x (1-\pi)^{1-x}$ with $C(l) = l / \tanh(l/2)$, and it is a density:

# %%
family = likelihoods.ContinuousBernoulli(torch.nn.Identity())
density = family(logit[:, None, None].expand(-1, 4001, 1)).log_prob(pixel[None, :, None]).exp()
assert (torch.trapezoid(density, pixel) - 1).abs().max() < 1e-5

# %% mystnb={"image": {"alt": "Left: the integral of the Bernoulli formula over grey values, a bump of height one half; the continuous Bernoulli's is one. Right: the reward for confidence that the cross-entropy withholds, growing with the size of the logit"}}
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained")
left.plot(logit, integral, label="cross-entropy")
left.plot(logit, torch.trapezoid(density, pixel), label="continuous Bernoulli")
left.set(xlabel="logit", ylabel="integral over $[0, 1]$", ylim=(0, 1.1))
left.legend(frameon=False, loc="center right", bbox_to_anchor=(1, 0.75))
right.plot(logit, -integral.log())
right.set(xlabel="logit", ylabel="log C, nats a pixel", ylim=(0, None))
_ = right.set_title("what the cross-entropy withholds", fontsize=10)

# %% [markdown]
# ## What the missing constant does to a model
#
# $\log C$ rewards confidence: a pixel that is surely black earns more density than one that is surely
# grey. Cross-entropy pays nothing for that. Its best mean is still the right one, which is why the
# pictures look fine; but the reconstruction term is too flat, so the KL weighs more than it should.
# Train both, with the same networks, and score both as what they claim to be: densities on $[0, 1]$.

# %%
latent, epochs = 10, 2 if SMOKE else 40
prior = priors.StandardNormal(latent)


def a_guide():
    return vae.Guide(posteriors.DiagonalNormal(MLP(64, 2 * latent, [128])))


torch.manual_seed(0)
decoder = MLP(latent, 64, [128])


def cross_entropy_model(x):
    pyro.module("decoder", decoder)
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", prior())
        cost = binary_cross_entropy_with_logits(decoder(z), x, reduction="none").sum(-1)
        pyro.factor("cross entropy", -cost)


guide = a_guide()
fit(cross_entropy_model, guide, digits.train, epochs=epochs, lr=3e-3, progress=False)

torch.manual_seed(0)
repaired = vae.Model(prior, likelihoods.ContinuousBernoulli(MLP(latent, 64, [128])))
repaired_guide = a_guide()
fit(repaired, repaired_guide, digits.train, epochs=epochs, lr=3e-3, progress=False)

# %% [markdown]
# To score the first, its decoder goes into the second's family. Nothing else changes.

# %%
crossed = vae.Model(prior, likelihoods.ContinuousBernoulli(decoder))
reports = {
    "cross-entropy": evaluation.evaluate(crossed, guide, digits.test, particles=20),
    "continuous Bernoulli": evaluation.evaluate(
        repaired, repaired_guide, digits.test, particles=20
    ),
}
print("trained by              ELBO as a density     KL, nats")
for name, report in reports.items():
    print(f"{name:22s} {report.elbo:11.1f} ± {report.elbo_stderr:.1f} {report.kl:12.1f}")
wrong, right_one = reports.values()
assert SMOKE or right_one.elbo > wrong.elbo + 30  # ten standard errors
assert SMOKE or right_one.kl > 2 * wrong.kl

# %% [markdown]
# The constant was worth tens of nats, and most of the latent's information: the cross-entropy VAE is a
# $\beta$-VAE ([chapter 6](06_reconstruction_and_regularisation.py)) whose author did not choose $\beta$. (The other honest way is to binarise, as
# `digits.binarized()` does: then the data are bits, and the Bernoulli is right.)
#
# ## The noise scale is a weight on the KL
#
# With a normal likelihood of fixed scale, $-\log p(x \mid z) = \tfrac{1}{2\sigma^2}\lVert x - f(z)\rVert^2 +
# \text{const}$. Multiply the bound by $2\sigma^2$: squared error plus $2\sigma^2$ times the KL. So "squared error
# plus KL", summed over pixels, is $\sigma^2 = \tfrac12$, for pixels that vary by a third or so; and with the *mean*
# over the $D$ pixels, as one often sees it, it is $\sigma^2 = \tfrac D2$. And the constant,
# $D \log \sigma$, is what makes bounds of different $\sigma$ comparable, so it can be learned. At given
# means, the derivative in $\sigma$ vanishes at
#
# $$ \sigma^2 = \tfrac1D\, \mathbb E_q \lVert x - f(z) \rVert^2, $$
#
# the mean squared error. `scale="optimal"` follows that number; `scale="shared"` finds it by gradient.

# %%
warnings.simplefilter("ignore", CollapseWarning)  # `fit` would warn of the widest scale, rightly
scale_epochs = 2 if SMOKE else 50
found = {}
for scale in (0.05, 0.1, 0.25, 1.0, "optimal"):
    torch.manual_seed(0)
    normal = vae.Model(prior, likelihoods.Normal(MLP(latent, 64, [128]), scale=scale, initial=0.2))
    normal_guide = a_guide()
    fit(normal, normal_guide, digits.train, epochs=scale_epochs, lr=3e-3, progress=False)
    report = evaluation.evaluate(normal, normal_guide, digits.test, particles=1)
    sigma = float(normal.likelihood.log_scale.exp())
    found[scale] = sigma, report
    print(f"σ = {sigma:.3f} ({scale!s:>7}): ELBO {report.elbo:7.1f}, KL {report.kl:5.1f}, "
          f"{report.active_units:2d} of {latent} units active")  # fmt: skip

sigma, report = found.pop("optimal")
with torch.no_grad():
    z = evaluation.encode(normal_guide, digits.train).sample()
    error = float((digits.train - normal.likelihood.network(z)).square().mean())
print(f"mean squared error {error:.4f}, learned σ² {sigma**2:.4f}")
assert SMOKE or abs(error / sigma**2 - 1) < 0.1  # the running mean holds the last ten batches

assert SMOKE or all(report.elbo > other.elbo for _, other in found.values())
assert SMOKE or found[1.0][1].active_units == 0
assert SMOKE or found[0.05][1].kl > report.kl > found[0.25][1].kl

# %% tags=["thumbnail"] mystnb={"image": {"alt": "ELBO on test digits against the noise scale: a hill whose top is where the learned scale lies; the KL falls to zero as the scale grows"}}
figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
sigmas = [s for s, _ in found.values()]
ax.semilogx(sigmas, [r.elbo for _, r in found.values()], "o-", label="ELBO, fixed σ")
ax.semilogx(sigmas, [r.kl for _, r in found.values()], "s--", label="KL, fixed σ")
ax.plot(sigma, report.elbo, "k*", ms=13, label="ELBO, σ from the data")
ax.set(xlabel="σ of the likelihood", ylabel="nats per example", xticks=sigmas)
ax.set_xticklabels(f"{s:g}" for s in sigmas)
ax.minorticks_off()
_ = ax.legend(frameon=False, loc="lower right")

# %% [markdown]
# Too small a $\sigma$ buys reconstructions with KL; too large a one switches the latent off, and no
# annealing will bring it back, for that is the optimum of the model that was written down
# ([chapter 7](07_posterior_collapse.py) has the threshold).
#
# ## Densities have units
#
# A density changes with the ruler. Count pixels in sixteenths, $y = 16 x$, and each loses $\log 16$
# nats, in any model whatever:

# %%
ruler = dist.Normal(0.3, 0.2)
stretched = dist.Normal(16 * 0.3, 16 * 0.2)
x0 = torch.tensor(0.25)
assert abs(ruler.log_prob(x0) - stretched.log_prob(16 * x0) - math.log(16)) < 1e-5

# %% [markdown]
# Worse, a density can grow without limit on data that sit on a few levels. Some pixels of the digits
# are always black. A normal with a scale of its own for such a pixel may shrink it for ever:

# %%
constant = int((digits.train.std(0) == 0).sum())
gain = [float(dist.Normal(0.0, s).log_prob(torch.tensor(0.0))) for s in (1e-1, 1e-2, 1e-3)]
print(f"{constant} pixels never vary; each earns {', '.join(f'{g:.1f}' for g in gain)} nats "
      "at σ = 0.1, 0.01, 0.001")  # fmt: skip
assert constant > 0 and gain[0] < gain[1] < gain[2]

# %% [markdown]
# There are two honest scales. *Probabilities of the levels*: the **discretised logistic** integrates a
# logistic density over each level's cell, so its masses sum to one. Or *dequantise*: add uniform noise,
# so that the data fill the cells. By Jensen's inequality a density of dequantised data, in units of one
# cell, bounds a probability of the levels:
#
# $$ \log P(k) := \log \int_0^1 p(k + u)\, du \;\ge\; \int_0^1 \log p(k + u)\, du. $$
#
# So both are nats for the same integers. Divided by $64 \log 2$ they are bits per dimension, a code
# length.

# %%
levels = torch.arange(17) / 16
logistic = likelihoods.DiscretizedLogistic(torch.nn.Identity(), scale=0.1, levels=17)
total = logistic(torch.full((17, 1), 0.3)).log_prob(levels[:, None]).exp().sum()
print(f"the masses of all seventeen levels sum to {total:.6f}")
assert abs(total - 1) < 1e-5

cell = torch.linspace(0, 1, 2001)
log_p = dist.Normal(5.0, 3.0).log_prob(7 + cell)
assert torch.trapezoid(log_p.exp(), cell).log() > torch.trapezoid(log_p, cell)


def dequantised(x):
    return (16 * x + torch.rand_like(x)) / 17


contestants = {
    "discretised logistic": (likelihoods.DiscretizedLogistic, {"levels": 17}, None),
    "continuous Bernoulli, dequantised": (likelihoods.ContinuousBernoulli, {}, dequantised),
    "normal, dequantised": (likelihoods.Normal, {"scale": "optimal", "initial": 0.2}, dequantised),
}
bits = {}
for name, (likelihood, options, transform) in contestants.items():
    torch.manual_seed(0)
    candidate = vae.Model(prior, likelihood(MLP(latent, 64, [128]), **options))
    its_guide = a_guide()
    fit(candidate, its_guide, digits.train, transform=transform, epochs=epochs, lr=3e-3,
        progress=False)  # fmt: skip
    torch.manual_seed(1)
    x = digits.test if transform is None else transform(digits.test)
    cells = 0 if transform is None else 64 * math.log(17)  # a cell is 1/17 wide
    elbo = evaluation.evaluate(candidate, its_guide, x, particles=1).elbo
    bits[name] = (cells - elbo) / (64 * math.log(2))
raw = (64 * math.log(16) - right_one.elbo) / (64 * math.log(2))
for name, value in bits.items():
    print(f"{name:34s} {value:5.2f} bits per dimension, of the levels")
print(
    f"{'continuous Bernoulli, raw':34s} {raw:5.2f} bits per dimension, of nothing that can be sent"
)

assert SMOKE or bits["discretised logistic"] < bits["continuous Bernoulli, dequantised"] - 0.1
assert SMOKE or bits["continuous Bernoulli, dequantised"] < bits["normal, dequantised"] - 0.1
assert SMOKE or raw < bits["discretised logistic"]  # the figure that looks best means least

# %% [markdown]
# The first three rows compare. The last one looks best, and is a density of numbers that have none: it
# was fitted to atoms at black and white, where a density may pile up as it likes. Before two likelihoods
# stand in one table, ask of both: nats of *what*?
#
# ## Counts that vary more than chance
#
# Counts have no scale to learn: a Poisson's variance is its mean. Real counts (words, reads, clicks)
# vary more. Let the truth be known: one latent, and negative binomial counts, a Poisson whose rate
# wobbles, with variance $m + m^2 / r$. With one latent, $\log p(x)$ is an integral over a line, and a fine
# grid gives it exactly. So is $I(x; z)$ known, all that there is to say of $z$.

# %%
features, dispersion = 8, 2.0
torch.manual_seed(0)
level = math.log(5.0) + 0.3 * torch.randn(features)
slope = 0.7 * torch.randn(features)
line = torch.linspace(-6, 6, 1201)[:, None]


def true_counts(z):
    mean = (level + slope * z).exp()
    return dist.NegativeBinomial(dispersion, logits=(mean / dispersion).log()).to_event(1)


def true_log_evidence(x):
    log_joint = true_counts(line).log_prob(x[:, None]) + dist.Normal(0.0, 1.0).log_prob(line[:, 0])
    return log_joint.logsumexp(-1) + math.log(0.01)  # the grid's step


n = 200 if SMOKE else 2000
z_train, z_test = torch.randn(n, 1), torch.randn(1000, 1)
x_train, x_test = true_counts(z_train).sample(), true_counts(z_test).sample()
evidence = true_log_evidence(x_test)
information = float((true_counts(z_test).log_prob(x_test) - evidence).mean())
ratios = x_train.var(0) / x_train.mean(0)
print("variance over mean, by feature:", ", ".join(f"{ratio:.1f}" for ratio in ratios))

# %% [markdown]
# Both rivals may use two latents; their decoders are linear in the log-rate, as the truth is. Only the
# family differs, and the truth is within reach of one of them.

# %%
families = {
    "Poisson": likelihoods.Poisson,
    "negative binomial": lambda net: likelihoods.NegativeBinomial(net, dispersion="shared"),
}
shortfall, kl = {}, {}
for name, family in families.items():
    torch.manual_seed(0)
    count_model = vae.Model(priors.StandardNormal(2), family(MLP(2, features, [])))
    count_guide = counts.Guide(posteriors.DiagonalNormal(MLP(features, 4, [32])))
    fit(count_model, count_guide, x_train, epochs=2 if SMOKE else 30, lr=2e-2, progress=False)
    report = evaluation.evaluate(count_model, count_guide, x_test, particles=20 if SMOKE else 300)
    shortfall[name], kl[name] = float(evidence.mean()) + report.nll, report.kl
    print(f"{name:18s} {shortfall[name]:5.2f} nats short of the truth, KL {kl[name]:.2f}")
learned = count_model.likelihood.log_dispersion.exp().item()
print(
    f"all that there is to know of z: {information:.2f} nats; r learned {learned:.2f}, true {dispersion}"
)

surplus = {name: value - information for name, value in kl.items()}
assert SMOKE or shortfall["Poisson"] > max(2, 5 * shortfall["negative binomial"])
assert SMOKE or surplus["Poisson"] > max(1, 3 * surplus["negative binomial"])
assert SMOKE or abs(learned - dispersion) < 0.3

# %% mystnb={"image": {"alt": "Bars: how far Poisson and negative binomial models fall short of the true log evidence, and the KL of each beside the true information"}}
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
left.bar(list(shortfall), list(shortfall.values()), width=0.5, color=["C1", "C0"])
left.set(ylabel="nats per example", title="short of the true log p(x)")
right.bar(list(kl), list(kl.values()), width=0.5, color=["C1", "C0"])
right.axhline(information, color="k", ls=":", label="all there is to know, $I(x; z)$")
right.set(ylabel="nats per example", ylim=(0, 3.3), title="KL: what the latent carries")
_ = right.legend(frameon=False)

# %% [markdown]
# The Poisson has no room for the wobble, so the *latent* must explain it. Its KL is larger than all that
# the data say of the true latent: what it reports beyond that is noise, dressed as structure. (That of the
# right family is larger only by what its guide lacks.) In a
# study of cells or customers, those would be found, named, and not replicated. A latent is only as
# trustworthy as the noise model beneath it.
#
# ## Exercises
#
# 1. Derive $\int_0^1 \pi^x (1 - \pi)^{1-x} dx = \tanh(l/2)/l$, and the mean of the continuous Bernoulli.
#    For which pixels does it differ most from $\pi$?
# 2. Show that the best mean under cross-entropy is $\mathbb E[x]$. So what exactly is biased in a VAE
#    trained by it?
# 3. Draw counts from a Poisson truth (let $r$ be large) and fit both families. Where does the learned $r$
#    go, and what does the needless parameter cost?
# 4. Give `Normal` the scale `"per-dimension"` on raw digits and watch the ELBO from epoch to epoch. Then
#    dequantise, and watch again.
# 5. For a normal likelihood with learned scale show that the bound is $-\tfrac D2 \log \mathrm{MSE} -
#    \mathrm{KL}$ up to a constant. Compare its gradient with that of a fixed scale.
#
# ## Sources
#
# Loaiza-Ganem and Cunningham 2019, *The Continuous Bernoulli: Fixing a Pervasive Error in Variational
# Autoencoders*; Rybkin, Daniilidis and Levine 2021, *Simple and Effective VAE Training with Calibrated
# Decoders*; Theis, van den Oord and Bethge 2016, *A Note on the Evaluation of Generative Models*
# (dequantisation); Salimans, Karpathy, Chen and Kingma 2017, *PixelCNN++* (discretised logistic);
# Lopez, Regier, Cole, Jordan and Yosef 2018, *Deep Generative Modeling for Single-Cell
# Transcriptomics*; Grønbech et al. 2020, *scVAE*.
