# %% [markdown]
# # 8. Swapping priors
#
# The standard normal prior is a habit. It is easy to draw from, its KL has a closed form, and "the
# decoder can bend it into anything" is said in its defence. But the bound pays for every nat by which
# the codes, taken together, fail to look like the prior. What would the best prior be? What is it
# worth? And what does it cost to have it?
#
# In this package a prior is a module whose call returns a distribution, so that the experiment is to
# change one word of the model.
#
# You will see
#
# 1. what the prior can win: the divergence of the *aggregate posterior* from it, and nothing else,
# 2. data on which that margin is known beforehand, and four priors that do or do not get it,
# 3. why the best prior of all overfits, and what the VampPrior makes of it,
# 4. what is left of all this on digits.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import math

import matplotlib.pyplot as plt
import pyro.distributions as dist
import torch

from pyro_vae import data, evaluation, fit, likelihoods, networks, plots, posteriors, priors
from pyro_vae.objectives import BetaELBO
from pyro_vae.programs import vae

torch.manual_seed(0)

# %% [markdown]
# ## Surgery on the KL
#
# Average the ELBO's KL over the data $x_1, \ldots, x_N$, and write $q(z) = \frac1N \sum_n q(z \mid x_n)$ for the
# **aggregate posterior**, the cloud of all codes. Insert $q(z)$ into the logarithm:
#
# $$ \frac1N \sum_n \mathrm{KL}\big(q(z \mid x_n) \,\|\, p(z)\big)
#    = \underbrace{\frac1N \sum_n \mathrm{KL}\big(q(z \mid x_n) \,\|\, q(z)\big)}_{I_q(x;\, z)}
#    \;+\; \mathrm{KL}\big(q(z) \,\|\, p(z)\big). $$
#
# The first part is the mutual information of example and code; the prior is not in it. The prior
# enters the second part alone, and the best one is plainly $p(z) = q(z)$. Let us check the identity for five posteriors
# in one dimension, by the trapezium rule.

# %%
axis = torch.linspace(-12, 12, 24_001, dtype=torch.float64)
means = torch.tensor([-2.2, -1.9, 0.3, 1.4, 2.0], dtype=torch.float64)
scales = torch.tensor([0.3, 0.25, 0.5, 0.2, 0.4], dtype=torch.float64)
codes = dist.Normal(means, scales)
log_q = codes.log_prob(axis[:, None])  # of each example
log_aggregate = log_q.logsumexp(1) - math.log(len(means))


def divergence(log_density, log_other):
    """KL by integration along the axis, for each column."""
    integrand = log_density.exp() * (log_density - log_other)
    return torch.trapezoid(integrand, axis, dim=0)


log_prior = dist.Normal(0.0, 1.0).log_prob(axis)
rate = divergence(log_q, log_prior[:, None]).mean()
information = divergence(log_q, log_aggregate[:, None]).mean()
mismatch = divergence(log_aggregate, log_prior)
print(f"mean KL {rate:.4f} = information {information:.4f} + mismatch {mismatch:.4f} nats")
assert abs(rate - information - mismatch) < 1e-10

# %% mystnb={"image": {"alt": "Five narrow posteriors, their average with gaps between, and the standard normal over it"}}
figure, ax = plt.subplots(figsize=(5.8, 3), layout="constrained")
ax.fill_between(axis, log_aggregate.exp(), alpha=0.25, label="aggregate posterior $q(z)$")
ax.plot(axis, log_q.exp() / len(means), color="C0", lw=0.8)
ax.plot(axis, log_prior.exp(), color="C1", label="standard normal $p(z)$")
ax.set(xlim=(-4, 4), ylim=(0, 0.7), xlabel="$z$", ylabel="density")
_ = ax.legend(frameon=False, loc="upper right")

# %% [markdown]
# Where the prior has mass and the codes have none, *between* the bumps, the decoder has never been trained;
# samples from there are the scribbles of [chapter 6](06_reconstruction_and_regularisation.py). So the mismatch is a loss in
# likelihood and in looks.
#
# ## A margin that is known beforehand
#
# Can the decoder not make up for the prior? A strong one can, in part. To see the prior's own share, tie the
# decoder's hands: $x = Az + b$ plus noise of fixed variance $\sigma^2$, in two dimensions. Under a standard normal prior $p(x)$ is
# then *normal* whatever is learned, and no normal density gives $N$ points more than
#
# $$ \max_{m, C} \frac1N \sum_n \log \mathcal N(x_n; m, C) = -\tfrac12 \log\det(2 \pi e\, \hat C), $$
#
# with $\hat C$ their covariance. Let the data come from four clusters. Their true density is a mixture, which the same
# decoder reaches from a prior that is one. The difference of the two is all that there is to win.

# %%
noise, width = 0.3, 0.4
n = 200 if SMOKE else 1000
generator = torch.Generator().manual_seed(0)
corners = 3.0 * torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
labels = torch.randint(4, (n,), generator=generator)
spread = math.hypot(noise, width)
x = corners[labels] + spread * torch.randn(n, 2, generator=generator)

squares = (x[:, None] - corners).square().sum(-1)
log_density = -squares / (2 * spread**2) - math.log(2 * math.pi * spread**2)
truth = (log_density.logsumexp(1) - math.log(4)).mean().item()
best_normal = -torch.logdet(2 * math.pi * math.e * torch.cov(x.T, correction=0)).item() / 2
print(f"best normal density {best_normal:.3f}, true density {truth:.3f}, nats per example")
print(f"margin for a prior: {truth - best_normal:.3f} nats")

# %% [markdown]
# Four priors. The mixture has its components as parameters; the flow moves normal noise by an
# invertible map; the VampPrior is explained below. Look at what changes from one to the other: the argument of `vae.Model`.


# %%
def encoder(features, latent, hidden):
    return posteriors.DiagonalNormal(networks.MLP(features, 2 * latent, hidden=hidden))


def standard(posterior):
    return priors.StandardNormal(2)


def mixture(posterior):
    return priors.MixtureOfNormals(2, components=10, spread=2.0)


def vamp(posterior):
    prior = priors.VampPrior(posterior, 2, components=20)
    prior.initialize(x)
    return prior


def flow(posterior):
    return priors.FlowPrior(2, kind="spline", layers=4, hidden=32)


runs = {}
for make in (standard, mixture, vamp, flow):
    torch.manual_seed(0)
    posterior = encoder(2, 2, hidden=[32, 32])
    decoder = networks.MLP(2, 2, hidden=[])  # affine
    model = vae.Model(make(posterior), likelihoods.Normal(decoder, scale=noise))
    guide = vae.Guide(posterior)
    fit(
        model, guide, x, epochs=2 if SMOKE else 100, batch_size=250, lr=2e-2, progress=False
    )  # fmt: skip
    report = evaluation.evaluate(model, guide, x, particles=10, elbo_particles=1 if SMOKE else 50)
    aggregate = evaluation.collapse_report(model, guide, x).aggregate_kl
    runs[make.__name__] = (model, guide, report.elbo, aggregate)
    print(
        f"{make.__name__:9} ELBO {report.elbo:7.3f}, gains {report.elbo - best_normal:6.3f}"
        f", KL(q(z) || p(z)) {aggregate:.3f}"
    )

# %% [markdown]
# The standard normal cannot pass the formula (it stays below by what its encoder lacks of the
# posterior). The others get most of the margin. The last column says from where: what is left of
# the mismatch is a small part of that under the standard normal.

# %%
gain = {name: elbo - best_normal for name, (_, _, elbo, _) in runs.items()}
margin = truth - best_normal
assert gain["standard"] < 0.01  # a bound, and at most that; 50 samples of each of n leave 0.005
for name in ("mixture", "vamp", "flow"):
    # Three seeds gave 0.76 of the margin or more, and a sixth of the mismatch or less.
    assert SMOKE or 0.65 * margin < gain[name] < margin + 0.06
    assert SMOKE or runs[name][-1] < runs["standard"][-1] / 4

# %% tags=["thumbnail"] mystnb={"image": {"alt": "Codes of the four clusters under four priors, with the contours of each prior; only the standard normal does not follow them"}}
figure, axes = plt.subplots(1, 4, figsize=(9, 2.8), layout="constrained")
for ax, (name, (model, guide, _, _)) in zip(axes, runs.items(), strict=True):
    with torch.no_grad():
        z = evaluation.encode(guide, x).sample()
        side = torch.linspace(-1.2, 1.2, 241) * z.abs().max()
        log_density = model.prior().log_prob(torch.cartesian_prod(side, side)).reshape(241, 241)
    ax.scatter(*z.T, c=labels, s=3, cmap="tab10", vmax=9)
    heights = log_density.max() + torch.tensor([0.01, 0.1, 0.5]).log()
    ax.contour(side, side, log_density.T, heights, colors="k", linewidths=0.8, linestyles="-")
    ax.set(title=name, xlabel="z[0]", aspect="equal")
axes[0].set_ylabel("z[1]")
_ = figure.suptitle("prior: lines at a half, a tenth and a hundredth of its peak", fontsize=10)

# %% [markdown]
# ## The best prior overfits
#
# Why not take the aggregate posterior itself, then? It has no parameters of its own: the mixture of the guide's
# answers to all $N$ training examples. Its density costs $N$ terms, which may be borne. The trouble is another one. In the sum
# $p(z) = \frac1N \sum_n q(z \mid x_n)$ there is the term of the very example that is being coded, so
#
# $$ \log \frac{q(z \mid x_n)}{p(z)} \le \log \frac{q(z \mid x_n)}{\frac1N q(z \mid x_n)} = \log N $$
#
# for every draw $z$. However long and precise the codes of the training examples grow, none costs more than $\log N$
# nats, which is the price of naming one of $N$. A new example has no term of its own, and pays the full price.
#
# Take a VAE of the digits with long codes: a standard normal prior, and a small weight on the KL as in
# [chapter 6](06_reconstruction_and_regularisation.py). Leave its two networks as they are, and replace the prior by
# the average of the guide's answers to $K$ training digits. That is a **VampPrior**, a *variational mixture of posteriors*,
# with $K$ *pseudo-inputs* that are real ones:

# %%
digits = data.load("digits").binarized()
if SMOKE:
    digits = digits.subset(60)
latent = 8


def digit_programs(make_prior, objective=None):
    torch.manual_seed(0)
    posterior = encoder(64, latent, hidden=[200])
    decoder = networks.MLP(latent, 64, hidden=[200])
    model = vae.Model(make_prior(posterior), likelihoods.Bernoulli(decoder))
    guide = vae.Guide(posterior)
    fit(
        model, guide, digits, objective=objective, epochs=2 if SMOKE else 60,
        restore_best=False, progress=False,
    )  # fmt: skip
    return model, guide


def standard_of_digits(posterior):
    return priors.StandardNormal(latent)


long, guide = digit_programs(standard_of_digits, BetaELBO(0.1))
seen = torch.bernoulli(digits.train, generator=generator)
counts = [5, 20, 60] if SMOKE else [5, 20, 80, 320, len(seen)]


def rate(prior, x):
    swapped = vae.Model(prior, long.likelihood)
    return evaluation.evaluate(swapped, guide, x, particles=1, elbo_particles=4).kl


rows = []
for K in counts:
    prior = priors.VampPrior(guide.posterior, 64, components=K)
    prior.initialize(seen[:K])
    rows.append((rate(prior, seen), rate(prior, digits.test)))
    print(f"K = {K:4d}: KL {rows[-1][0]:6.2f} of training digits, {rows[-1][1]:6.2f} of new ones")
usual = rate(long.prior, seen), rate(long.prior, digits.test)
print(f"standard normal: {usual[0]:.2f} of training digits, {usual[1]:.2f} of new ones")
print(f"log N = {math.log(len(seen)):.2f}")
assert rows[-1][0] <= math.log(len(seen))

# %% mystnb={"image": {"alt": "KL of training digits and of new digits against the number of training examples in the prior; the gap opens as the prior takes in all of them"}}
figure, ax = plt.subplots(figsize=(5.6, 3.4), layout="constrained")
for i, name in enumerate(("training digits", "new digits")):
    ax.plot(counts, [row[i] for row in rows], "o-", color=f"C{i}", label=name)
    ax.axhline(usual[i], color=f"C{i}", lw=1, ls=":")
ax.loglog()
ax.set(xlabel="training digits $K$ in the prior", ylabel="KL, nats per example")
ax.set_yticks([5, 10, 20, 50, 100, 200], ["5", "10", "20", "50", "100", "200"])
_ = ax.legend(frameon=False, title="dotted: standard normal", title_fontsize=9)

# %% [markdown]
# With few components the prior is a poor one for everybody. With all of them the training digits pay no
# more than $\log N$, though their codes are as long as ever, and new digits pay much more than that: the
# prior knows the others by name. Under the standard normal (dotted) the two sets pay alike. So the bound on training
# data would tell a tale. The VampPrior is the compromise. It keeps $K$ small and *learns* the
# pseudo-inputs, through the bound, together with everything else. It is a mixture with the shape of the
# guide's answers, and since encoder and prior are one network, it moves with the codes.

# %%
assert SMOKE or abs(usual[1] - usual[0]) < 1.0
assert SMOKE or rows[-1][1] > rows[-1][0] + 3.0

# %% [markdown]
# ## On digits
#
# Now in earnest: train with a learned prior from the start, everything else equal, and let the importance-weighted NLL of new
# digits judge.


# %%
def vamp_of_digits(posterior):
    prior = priors.VampPrior(posterior, 64, components=50, bounds=(0, 1))
    prior.initialize(digits.train)
    return prior


def mixture_of_digits(posterior):
    return priors.MixtureOfNormals(latent, components=20)


makers = {"standard": standard_of_digits, "mixture": mixture_of_digits, "vamp": vamp_of_digits}
trained = {name: digit_programs(make) for name, make in makers.items()}
log_p, kl, mismatch = {}, {}, {}
for name, (model, own_guide) in trained.items():
    programs = model, own_guide, digits.test
    log_p[name] = evaluation.log_evidence(*programs, particles=100).log_evidence
    report = evaluation.evaluate(*programs, particles=1, elbo_particles=1 if SMOKE else 10)
    kl[name] = report.kl
    mismatch[name] = evaluation.collapse_report(*programs).aggregate_kl
    print(
        f"{name:9} NLL {-log_p[name].mean():6.2f}, KL {kl[name]:5.2f},"
        f" KL(q(z) || p(z)) {mismatch[name]:5.2f}"
    )

# %% mystnb={"image": {"alt": "Samples of digits from the standard normal, the mixture and the VampPrior"}}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for ax, (name, (model, _)) in zip(axes, trained.items(), strict=True):
    drawn = evaluation.generate(model, digits.test, n=36, mean=True, seed=0)
    plots.images(drawn, columns=6, ax=ax, title=name)

# %% [markdown]
# The KL falls, the mismatch too, and the NLL hardly moves. That is no failure of the priors. The surgery
# says how much there is to win while the networks stay as they are: the mismatch under the standard
# normal, which is small here. The decoder is no affine map any more, and has bent the
# standard normal into shape by itself.

# %%
print(f"the mismatch to be won was {mismatch['standard']:.2f} nats")
for name in ("mixture", "vamp"):
    won = log_p[name] - log_p["standard"]  # of the same digits
    error = won.std() / len(won) ** 0.5
    print(f"the {name} prior wins {won.mean():+.2f} ± {error:.2f} nats of log p(x)")
    assert SMOKE or kl[name] < kl["standard"]
    assert SMOKE or mismatch[name] < mismatch["standard"]
    assert SMOKE or won.mean().abs() < mismatch["standard"]

# %% [markdown]
# A learned prior pays where the decoder cannot do this, as it could not with the four clusters: where the
# mismatch is large. On MNIST, with forty latents, the project's benchmarks find that a VampPrior and a
# flow are worth several nats, and more than any richer guide.

# %% [markdown]
# ## Exercises
#
# 1. Write a prior of your own: a mixture of two normals with fixed means and one learned weight. It is a module with one
#    method. Train it on the four clusters; which two does it serve?
# 2. Prove the surgery above, and that $I_q(x; z) \le \log N$. What does that say of the `information` in
#    {py:func}`pyro_vae.evaluation.collapse_report`, when it is given few examples?
# 3. Free the decoder of the four clusters: `hidden=[64, 64]`. How much of the margin does the standard normal get now? Is
#    what remains due to the prior, or to the guide ([chapter 9](09_swapping_guides.py))?
# 4. The KL of a mixture prior has no closed form and is sampled. Measure the standard deviation of the ELBO's gradient with the
#    standard normal under `ELBO(kl="analytic")` and `ELBO(kl="sampled")`, and with the mixture. What does the swap
#    cost in noise?
# 5. Decode the pseudo-inputs of the VampPrior of the digits (`prior.pseudo_inputs`, and the reconstructions of them). Are they
#    digits? Increase `components` until the NLL of new digits no longer falls.
#
# ## Sources
#
# Hoffman and Johnson 2016, *ELBO Surgery: Yet Another Way to Carve up the Variational Evidence Lower Bound*; Tomczak and Welling
# 2018, *VAE with a VampPrior*; Chen et al. 2017, *Variational Lossy Autoencoder* (autoregressive priors); Dinh, Sohl-Dickstein
# and Bengio 2017, *Density Estimation Using Real NVP*; Durkan, Bekasov, Murray and Papamakarios 2019, *Neural Spline Flows*;
# Rosca, Lakshminarayanan and Mohamed 2018, *Distribution Matching in Variational Inference* (holes between aggregate and prior).
