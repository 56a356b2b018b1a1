# %% [markdown]
# # 1. The evidence lower bound
#
# A latent-variable model says how data come about: draw a cause $z$ that nobody sees, then draw
# $x$ given it,
#
# $$ p_\theta(x, z) = p(z)\, p_\theta(x \mid z). $$
#
# To learn $\theta$ we want the probability that the model gives to what *was* seen, the
# **evidence** $p_\theta(x) = \int p(z)\, p_\theta(x \mid z)\, dz$. For almost every interesting model that
# integral has no closed form. This chapter takes a model where it has one, so that everything that
# we say about a bound on the evidence can be held against the truth.
#
# You will see
#
# 1. why averaging over the prior is hopeless and Jensen's inequality gives a bound instead,
# 2. that the gap of that bound *is* a Kullback–Leibler divergence, to the last digit,
# 3. what this means for learning: one number moves two things.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import math

import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch
from torch.distributions import kl_divergence

from pyro_vae import data, terms

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

# %% [markdown]
# ## A model whose evidence is known
#
# One cause, two measurements of it, Gaussian noise: $z \sim \mathcal N(0, 1)$ and
# $x = W z + \varepsilon$ with $\varepsilon \sim \mathcal N(0, \sigma^2 I)$. Everything about it is
# Gaussian, so the evidence is one too, $p(x) = \mathcal N(x; 0, W W^\top + \sigma^2 I)$, and so is the
# posterior $p(z \mid x)$. {py:class}`pyro_vae.data.LinearGaussian` has the two formulas.

# %%
W, sigma = torch.tensor([[2.0], [1.0]]), 0.5
truth = data.LinearGaussian(W, mean=torch.zeros(2), sigma=sigma)
x = torch.tensor([[1.5, 1.0]])

log_evidence = truth.log_evidence(x)[0]
posterior_mean, posterior_variance = (t.squeeze() for t in truth.posterior(x))
print(f"log p(x) = {log_evidence:.4f} nats")
print(f"p(z|x)   = N({posterior_mean:.4f}, {posterior_variance.sqrt():.4f}²)")

# %% [markdown]
# In Pyro the generative story is a function with one `pyro.sample` for each line of the story. The
# plate says that examples are independent, and `to_event(1)` that the coordinates of one example
# belong together.


# %%
def model(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(1), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z @ W.T, sigma).to_event(1), obs=x)


# %% [markdown]
# ## Averaging over the prior, and what Jensen makes of it
#
# The evidence is an expectation under the prior, $p(x) = \mathbb E_{p(z)}[p(x \mid z)]$, so draw $z_1,
# \ldots, z_K$ from the prior and average. The average is right *in expectation*. Its logarithm is
# not: the logarithm is concave, and Jensen's inequality says
#
# $$ \mathbb E\Big[\log \tfrac1K \textstyle\sum_k p(x \mid z_k)\Big] \;\le\; \log p(x). $$
#
# With few samples the left side is far below, since hardly any draw of the prior explains this
# particular $x$.

# %%
repeats = 200 if SMOKE else 4000
counts = [1, 4, 16, 64, 256]
averages = []
for K in counts:
    z = torch.randn(K, repeats, 1)  # from the prior
    log_p_x_given_z = dist.Normal(z @ W.T, sigma).log_prob(x).sum(-1)
    estimates = log_p_x_given_z.logsumexp(0) - math.log(K)
    averages.append(estimates.mean())
    print(f"K = {K:3d}: {estimates.mean():8.3f} on average, log p(x) = {log_evidence:.3f}")

assert all(average < log_evidence for average in averages[:4])
assert SMOKE or averages == sorted(averages)

# %% [markdown]
# ## A better place to look
#
# Any density $q(z)$ may stand in for the prior, if each sample is weighted for it:
#
# $$ \log p(x) = \log \mathbb E_{q(z)}\left[\frac{p(x, z)}{q(z)}\right] \;\ge\;
#    \mathbb E_{q(z)}\big[\underbrace{\log p(x, z) - \log q(z)}_{\log w}\big] =: \mathrm{ELBO}(q). $$
#
# That is the **evidence lower bound**: Jensen's inequality, used with a single sample. In Pyro
# $q$ is a second program, the *guide*, with the same latent sites. Here it has two numbers, a mean
# and a scale.


# %%
def guide_at(mean, scale):
    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(mean.expand(1), scale.expand(1)).to_event(1))

    return guide


def log_weights(guide, particles):
    """log p(x, z) - log q(z) for each sample, from one pass over both programs."""
    return terms.site_terms(model, guide, x, particles=particles).log_weights[:, 0]


particles = 200 if SMOKE else 20_000
rough = log_weights(guide_at(torch.tensor(0.2), torch.tensor(0.6)), particles)
print(f"a rough guide: ELBO = {rough.mean():.3f} ± {rough.std() / particles**0.5:.3f}")
print(f"               log p(x) = {log_evidence:.3f}")
assert rough.mean() < log_evidence

# %% [markdown]
# ## The gap is a divergence
#
# How much is lost? Write $p(x, z) = p(z \mid x)\, p(x)$ in the bound, and $\log p(x)$ comes out of the
# expectation:
#
# $$ \log p(x) - \mathrm{ELBO}(q) = \mathbb E_{q}\left[\log \frac{q(z)}{p(z \mid x)}\right]
#    = \mathrm{KL}\big(q(z) \,\|\, p(z \mid x)\big). $$
#
# No inequality any more. The bound is tight exactly when $q$ is the posterior, and what it misses is
# how far $q$ is from it. For normals both sides have closed forms; let us hold them against each
# other on a grid of guides.


# %%
def elbo(mean, scale):
    """The bound in closed form, E_q[log p(x|z)] - KL(q || p(z)), for q = N(mean, scale²)."""
    spread = (x - mean[..., None] * W.T).square().sum(-1) + scale**2 * W.square().sum()
    log_normaliser = -math.log(2 * math.pi * sigma**2)  # of two coordinates
    reconstruction = log_normaliser - spread / (2 * sigma**2)
    kl_to_prior = (mean**2 + scale**2 - 1) / 2 - scale.log()
    return reconstruction - kl_to_prior


posterior = dist.Normal(posterior_mean, posterior_variance.sqrt())
means = posterior_mean + torch.linspace(-0.6, 0.6, 41)
scales = posterior.scale * torch.logspace(-0.8, 0.8, 41, base=4.0)
surface = elbo(means, scales[:, None])
gaps = kl_divergence(dist.Normal(means, scales[:, None]), posterior)

worst = (log_evidence - surface - gaps).abs().max()
print(f"largest |log p(x) - ELBO - KL| on the grid: {worst:.1e}")
assert worst < 1e-12  # rounding: some ten operations on numbers of size 10, in double precision

# %% [markdown]
# The same surface as a picture. Every contour is a set of guides that are equally good, and the top
# of the hill is the posterior itself.

# %% tags=["thumbnail"] mystnb={"image": {"alt": "Contours of the ELBO over the guide's mean and scale, with the posterior at the top; and a slice through it below the line of the log evidence"}}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
levels = [-16, -8, -4, -2, -1, -0.5, -0.2, -0.05, 0]
filled = left.contourf(means, scales, surface - log_evidence, levels, norm="symlog", cmap="viridis")
figure.colorbar(filled, ax=left, ticks=levels, format="%g")
left.plot(posterior_mean, posterior.scale, "k*", ms=11)
left.annotate("  $p(z|x)$", (posterior_mean, posterior.scale), va="center")
left.set(xlabel="mean of $q$", ylabel="scale of $q$", title="ELBO$(q)$ − log $p(x)$, nats")

slice_ = elbo(means, posterior.scale)
right.axhline(log_evidence, color="k", lw=1, label="log $p(x)$")
right.plot(means, slice_, label="ELBO$(q)$")
right.fill_between(means, slice_, log_evidence, alpha=0.2, label="KL$(q \\,\\|\\, p(z|x))$")
right.set(xlabel="mean of $q$, its scale that of $p(z|x)$", ylabel="nats")
_ = right.legend(frameon=False)

# %% [markdown]
# ## At the posterior there is nothing left to average
#
# When $q(z) = p(z \mid x)$ the weight $p(x, z) / q(z)$ equals $p(x)$ whatever $z$ is. So the estimate of the
# ELBO has *no variance* there: one sample gives the evidence. The spread of the weights is a
# thermometer for how far a guide is from the truth.

# %%
exact = log_weights(guide_at(posterior_mean, posterior_variance.sqrt()), 100)
print(f"rough guide: log weights vary by {rough.std():.3f} nats")
print(f"exact guide: log weights vary by {exact.std():.1e} nats")
assert (exact - log_evidence).abs().max() < 1e-12
assert rough.std() > 0.1

# %% [markdown]
# ## One number that moves two things
#
# Turn the identity round:
#
# $$ \mathrm{ELBO}(\theta, \phi) = \log p_\theta(x) - \mathrm{KL}\big(q_\phi(z) \,\|\, p_\theta(z \mid x)\big). $$
#
# Raising the ELBO in the guide's parameters $\phi$ can only shrink the divergence, for the evidence
# does not depend on $\phi$: that is *inference*. Raising it in the model's parameters $\theta$ raises the
# evidence or shrinks the divergence: that is *learning*, with a twist. The model may be pulled
# towards posteriors that the guide can represent. Let us see the twist: hold a guide with too small
# a scale fixed, and let the noise $\sigma$ of the model move, with some data made by the true model.

# %%
many = truth.sample(500, generator=torch.Generator().manual_seed(0))
narrow = torch.tensor(0.05)


def at_sigma(s):
    """Mean log evidence of the data, and the best bound with guides of a small scale."""
    candidate = data.LinearGaussian(W, torch.zeros(2), sigma=float(s))
    means, variance = candidate.posterior(many)
    gap = kl_divergence(dist.Normal(means, narrow), dist.Normal(means, variance.sqrt()))
    evidence = candidate.log_evidence(many)
    return evidence.mean(), (evidence - gap[:, 0]).mean()


sigmas = torch.linspace(0.2, 0.8, 121)
evidences, bounds = (torch.stack(values) for values in zip(*map(at_sigma, sigmas), strict=True))
best, pulled = sigmas[evidences.argmax()], sigmas[bounds.argmax()]
print(f"the data were made with sigma = {sigma}")
print(f"the evidence is greatest at     {best:.3f}")
print(f"the bound is greatest at        {pulled:.3f}")
assert abs(best - sigma) < 0.05  # three standard errors of sigma from 500 pairs
assert pulled < best - 0.02

# %% mystnb={"image": {"alt": "Mean log evidence and mean bound against the model's noise; the bound's maximum lies to the left"}}
figure, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
for values, top, label in ((evidences, best, "log evidence"), (bounds, pulled, "narrow bound")):
    (line,) = ax.plot(sigmas, values, label=label)
    ax.plot(top, values.max(), "o", color=line.get_color())
ax.axvline(sigma, color="k", lw=1, ls=":", label="truth")
ax.set(
    xlabel=r"$\sigma$ of the model", ylabel="nats per example", ylim=(float(bounds.max()) - 2, None)
)
_ = ax.legend(frameon=False)

# %% [markdown]
# The bound prefers less noise than the evidence does, since less noise makes the posterior narrow,
# as narrow as the only guide at hand. A restricted guide does not just make a bound loose; it
# biases the model that we learn. [Chapter 9](09_swapping_guides.py) is about guides that leave less
# of a gap, and [chapter 10](10_tighter_bounds.py) about bounds that do.
#
# ## Exercises
#
# 1. Replace the guide by a {py:class}`pyro.distributions.StudentT` with the posterior's mean. Estimate the
#    gap by sampling, and say why it is not zero for any scale.
# 2. Use $K$ weighted samples inside the logarithm, $\log \frac1K \sum_k w_k$, with the rough guide. How
#    large must $K$ be for the gap to fall below a hundredth of a nat? Compare with averaging over the
#    prior above.
# 3. Swap the divergence: for which normal $q$ is $\mathrm{KL}(p(z \mid x) \,\|\, q)$ smallest when $p(z \mid x)$ is a
#    mixture of two normals, and for which is $\mathrm{KL}(q \,\|\, p(z \mid x))$? Which of the two does the ELBO
#    minimise?
#
# ## Sources
#
# Jordan, Ghahramani, Jaakkola and Saul 1999, *An Introduction to Variational Methods for Graphical
# Models*; Kingma and Welling 2014, *Auto-Encoding Variational Bayes*; Blei, Kucukelbir and McAuliffe
# 2017, *Variational Inference: A Review for Statisticians*; Turner and Sahani 2011, *Two Problems with
# Variational Expectation Maximisation for Time-Series Models* (on the pull of a restricted guide).
