# %% [markdown]
# # 6. Reconstruction against regularisation
#
# The ELBO is a difference of two numbers,
#
# $$ \mathrm{ELBO} = \underbrace{\mathbb E_{q(z \mid x)}[\log p(x \mid z)]}_{\text{reconstruction}}
#    - \underbrace{\mathrm{KL}\big(q(z \mid x) \,\|\, p(z)\big)}_{\text{regularisation}}, $$
#
# and they pull in opposite directions. The first wants a code that tells everything about $x$. The
# second wants a code that tells nothing: it is zero when $q(z \mid x)$ is the prior, whatever $x$ was.
# What decides between them? Is there a right answer, and what if we want another one?
#
# You will see
#
# 1. that the trade-off is Shannon's: a linear VAE traces his rate–distortion curve exactly,
# 2. that the weight $\beta$ of a $\beta$-VAE is a noise variance under another name,
# 3. on digits, that good reconstructions and good samples are had at different $\beta$,
# 4. two remedies: learn the noise, or state the distortion that you want and let a multiplier find
#    $\beta$.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import math
import warnings

import matplotlib.pyplot as plt
import torch

from pyro_vae import data, evaluation, fit, likelihoods, networks, plots, posteriors, priors
from pyro_vae.objectives import ELBO, GECO, BetaELBO
from pyro_vae.programs import linear, vae

torch.manual_seed(0)

# %% [markdown]
# ## Rate and distortion
#
# Rename the two terms after what they cost. The **rate** $R = \mathbb E_x\,\mathrm{KL}(q(z \mid x) \,\|\, p(z))$
# bounds the information that the code carries about $x$, for
#
# $$ R = I_q(x; z) + \mathrm{KL}\big(q(z) \,\|\, p(z)\big) \;\ge\; I_q(x; z),
#    \qquad q(z) = \mathbb E_x[q(z \mid x)]. $$
#
# The **distortion** $D = -\mathbb E_x \mathbb E_{q(z \mid x)}[\log p(x \mid z)]$ is what reconstruction loses; for normal
# noise it is a squared error, but for constants. Then $-\mathrm{ELBO} = R + D$, and models with the same
# ELBO lie on a line of slope $-1$. The **$\beta$-VAE** minimises $D + \beta R$ instead: it looks for the point where
# the curve of possible models has slope $-1/\beta$ in $(D, R)$.
#
# For data with Gaussian covariance, Shannon knew the curve. Let $\lambda_i$ be the eigenvalues. The least
# rate with which a squared error $\sum_i D_i$ can be had pours "water" to a level $s^2$ over all
# directions, and spends nothing on those that drown:
#
# $$ D_i = \min(s^2, \lambda_i), \qquad R = \sum_i \tfrac12 \log \frac{\lambda_i}{D_i}. $$
#
# Let us see whether a linear VAE gets there. The data have exactly the eigenvalues that we choose.

# %%
eigenvalues = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25])
noise = torch.Generator().manual_seed(0)
raw = torch.randn(1000, 5, generator=noise)
white = 1000**0.5 * torch.linalg.svd(raw - raw.mean(0), full_matrices=False).U  # covariance I
rotation = torch.linalg.qr(torch.randn(5, 5, generator=noise)).Q
x = (white * eigenvalues.sqrt()) @ rotation.T


def shannon(level):
    """The water level s² to (least rate in nats, squared error)."""
    error = torch.minimum(eigenvalues, torch.as_tensor(level))
    return float((eigenvalues / error).log().sum() / 2), float(error.sum())


# %% [markdown]
# The two programs are linear ({py:mod}`pyro_vae.programs.linear`): $p(x \mid z) = \mathcal N(Wz + b, \sigma^2 I)$ with $\sigma^2$
# *fixed*, and $q(z \mid x) = \mathcal N(Vx + c, \operatorname{diag} \sigma_\phi^2)$. Everything is trained by stochastic gradients
# of the weighted bound; afterwards both terms are computed without sampling.

# %%
variance = 0.5  # of the model's noise


def linear_programs(latent, noise_variance, dtype=torch.float32):
    torch.manual_seed(0)
    model, guide = linear.Model(5, latent).to(dtype), linear.Guide(5, latent).to(dtype)
    with torch.no_grad():
        model.log_scale.fill_(0.5 * math.log(noise_variance))
    return model, guide


@torch.no_grad()
def rate_and_error(model, guide):
    """E KL(q(z|x) || p(z)) and E_q |x - Wz - b|², both in closed form."""
    mean, scale = guide.mean(x), guide.log_scale.exp()
    rate = ((mean**2 + scale**2 - 1) / 2 - guide.log_scale).sum(-1).mean()
    misses = (x - mean @ model.W.T - model.b).square().sum(-1).mean()
    return float(rate), float(misses + (scale**2 * model.W.square().sum(0)).sum())


betas = [0.4, 0.8, 1.5, 3.0, 6.0]
found = []
print(" beta    rate (Shannon)    squared error (Shannon)")
for beta in betas:
    model, guide = linear_programs(latent=5, noise_variance=variance)
    model.log_scale.requires_grad_(False)
    objective = BetaELBO(beta, kl="analytic")
    fit(
        model, guide, x, objective=objective, epochs=2 if SMOKE else 150, batch_size=250, lr=5e-2,
        progress=False,
    )  # fmt: skip
    rate, error = rate_and_error(model, guide)
    least, known = shannon(beta * variance)
    found.append((rate, error))
    print(f"{beta:5.2f} {rate:7.3f} ({least:.3f})  {error:11.3f} ({known:.3f})")
    # Steps are noisy and few. Three seeds were within 0.04 where it is slowest, at the smallest beta.
    assert SMOKE or max(abs(rate - least), abs(error - known)) < 0.1

# %% [markdown]
# The point of each $\beta$ is where the theory has it: the water level is $\beta\sigma^2$. A direction of the data
# whose variance is below that level gets no code at all, which is
# [chapter 7's](07_posterior_collapse.py) subject. And no *linear* model, trained or not, is below the curve. Its rate
# and its squared error depend on the data through their covariance alone, so they are what they would be for
# Gaussian data; there the rate is at least the information, and Shannon's theorem is about that. (Among all
# data of one covariance the Gaussian has the highest curve. Where data are not Gaussian, a nonlinear model may
# go below it.)


# %%
def least_rate(error):
    """Shannon's curve: the rate at a squared error, by bisection of the level."""
    low, high = 1e-6, float(eigenvalues.max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if shannon(middle)[1] < error else (low, middle)
    return shannon(high)[0]


for rate, error in found:
    assert rate > least_rate(error) - 1e-4  # the sums above are in single precision

# %% mystnb={"image": {"alt": "Shannon's rate-distortion curve of five independent directions, with the trained linear models on it"}}
figure, ax = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
curve = [shannon(level) for level in torch.logspace(-1, math.log10(4), 80)]
ax.plot(*zip(*curve, strict=True), color="k", lw=1, label="Shannon's least rate")
ax.plot(*zip(*found, strict=True), "o", label="linear VAE, trained")
for beta, point in zip(betas, found, strict=True):
    ax.annotate(rf"$\beta = {beta:g}$", point, (7, 3), textcoords="offset points", fontsize=9)
ax.set(xlabel="rate, nats per example", ylabel="squared error per example")
ax.set(xlim=(None, 6.3), ylim=(0, None))
_ = ax.legend(frameon=False)

# %% [markdown]
# ## beta is a noise variance
#
# Why does $\beta\sigma^2$ appear, and never $\beta$ alone? For normal noise $\log p(x \mid z) = -|x - f(z)|^2 / 2\sigma^2 + c$,
# so that
#
# $$ -\frac{|x - f(z)|^2}{2\sigma^2} - \beta\,\mathrm{KL}
#    \;=\; \beta \left( -\frac{|x - f(z)|^2}{2\,\beta\sigma^2} - \mathrm{KL} \right). $$
#
# The weighted bound with noise $\sigma^2$ and the plain bound with noise $\beta\sigma^2$ have *the same gradient*, but for a
# factor, in everything except $\sigma$. Whoever fixes $\sigma = 1$ for pixels between 0 and 1 and takes
# $\beta = 1$ has chosen a $\beta$ all the same. Let us hold the two gradients against each other, with the same random
# numbers, in double precision.


# %%
def gradients(objective, noise_variance):
    model, guide = linear_programs(3, noise_variance, torch.float64)
    model.log_scale.requires_grad_(False)
    torch.manual_seed(1)  # the same draws of z
    objective.differentiable_loss(model, guide, x.double()).backward()
    parameters = [*model.parameters(), *guide.parameters()]
    return torch.cat([p.grad.flatten() for p in parameters if p.grad is not None])


weighted = gradients(BetaELBO(beta=4.0), noise_variance=0.5)
plain = gradients(ELBO(), noise_variance=4.0 * 0.5)
difference = (weighted - 4.0 * plain).abs().max() / weighted.abs().max()
print(f"largest difference of {len(plain)} partial derivatives, relative: {difference:.1e}")
assert difference < 1e-12  # rounding of sums of 1000 examples

# %% [markdown]
# So for real data there is a principled answer to "which $\beta$?": the noise is a parameter like any
# other, and the evidence has an opinion on it. Leave $\beta$ at 1 and *learn* $\sigma$. With three latent
# dimensions the best $\sigma^2$ is the mean of the eigenvalues that must be given up.

# %%
model, guide = linear_programs(latent=3, noise_variance=4.0)  # much too noisy at the start
fit(
    model, guide, x, epochs=2 if SMOKE else 80, batch_size=250, lr=5e-2, progress=False
)  # fmt: skip
learned, best = model.log_scale.mul(2).exp().item(), eigenvalues[3:].mean().item()
print(f"learned noise variance {learned:.3f}, that of greatest likelihood {best:.3f}")
assert SMOKE or abs(learned - best) < 0.03

# %% [markdown]
# ## The trade-off on digits
#
# Binary pixels have no noise scale to learn, so here $\beta$ is a choice. We train the same small VAE
# with five weights, and look at two things that one wants from it: that it *reconstructs* (the
# distortion), and that it *generates*. The negative log-likelihood, NLL, measures the second: how
# surprised is the model, prior and all, by a digit that it has not seen?

# %%
digits = data.load("digits").binarized()
if SMOKE:
    digits = digits.subset(100)
epochs, latent = (2 if SMOKE else 60), 10


def digit_programs():
    torch.manual_seed(0)
    decoder = networks.MLP(latent, 64, hidden=[200])
    encoder = networks.MLP(64, 2 * latent, hidden=[200])
    model = vae.Model(priors.StandardNormal(latent), likelihoods.Bernoulli(decoder))
    return model, vae.Guide(posteriors.DiagonalNormal(encoder))


def trained(objective, schedule="cosine"):
    model, guide = digit_programs()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a large beta kills the latent, and fit says so
        history = fit(
            model, guide, digits, objective=objective, epochs=epochs, schedule=schedule,
            restore_best=False, progress=False,
        )  # fmt: skip
    report = evaluation.evaluate(
        model, guide, digits.test, particles=100, elbo_particles=1 if SMOKE else 10
    )
    return model, guide, history, report


weights = [0.1, 0.3, 1.0, 2.0, 4.0]
runs = {beta: trained(BetaELBO(beta)) for beta in weights}
reports = {beta: run[-1] for beta, run in runs.items()}
print("beta    rate  distortion    ELBO     NLL")
for beta, r in reports.items():
    print(f"{beta:4.1f} {r.kl:7.2f} {-r.reconstruction:11.2f} {r.elbo:7.2f} {r.nll:7.2f}")

# %% tags=["thumbnail"] mystnb={"image": {"alt": "The rate-distortion plane with a model for each beta, and lines of equal ELBO; the best line touches the curve at beta 1"}}
rates = [r.kl for r in reports.values()]
distortions = [-r.reconstruction for r in reports.values()]
figure, ax = plt.subplots(figsize=(6, 4.2), layout="constrained")
names = [f"β = {beta:g}" for beta in weights]
_ = plots.rate_distortion(rates, distortions, labels=names, ax=ax)

# %% [markdown]
# Down the curve the code grows and the reconstruction improves. The ELBO, where both count alike, is
# best at $\beta = 1$: there a line of slope $-1$ touches the curve. It could not be otherwise if
# training and test were the same, for $\beta = 1$ *is* the ELBO. The NLL agrees. But the best
# reconstructions are at the smallest $\beta$, and not by a little.

# %%
assert SMOKE or rates == sorted(rates, reverse=True)
assert SMOKE or distortions == sorted(distortions)
by_elbo = max(reports, key=lambda beta: reports[beta].elbo)
by_nll = min(reports, key=lambda beta: reports[beta].nll)
by_distortion = min(reports, key=lambda beta: -reports[beta].reconstruction)
print(
    f"best ELBO at beta = {by_elbo:g}, best NLL at {by_nll:g}, best reconstruction at {by_distortion:g}"
)
assert SMOKE or (by_elbo, by_nll, by_distortion) == (1.0, 1.0, 0.1)

# %% [markdown]
# What that means, to the eye:

# %% mystnb={"image": {"alt": "For beta 0.1, 1 and 4: digits with their reconstructions, and samples from the prior"}}
shown = [0.1, 1.0, 4.0]
figure, axes = plt.subplots(2, 3, figsize=(9, 3.2), layout="constrained", height_ratios=[1, 1.5])
examples = digits.test[:6]
for beta, (above, below) in zip(shown, axes.T, strict=True):
    model, guide = runs[beta][:2]
    again = evaluation.reconstruct(model, guide, examples, seed=0)
    drawn = evaluation.generate(model, examples, n=18, mean=True, seed=0)
    title = rf"$\beta = {beta:g}$"
    plots.reconstructions(examples, again, columns=6, ax=above, title=title, labels=("x", "again"))
    plots.images(drawn, columns=6, ax=below, title="from the prior")

# %% [markdown]
# At a small $\beta$ the digits come back nearly unharmed, but draws from the prior decode to
# scribbles. The codes $q(z \mid x)$ are narrow and lie where they like; hardly any of them is where
# the prior puts its mass, so the decoder has never seen what the prior sends it. At a large $\beta$ the code
# is the prior, and the decoder, told nothing, paints the mean of all digits. At $\beta = 1$ the model is the
# most likely of the five, and its reconstructions are no more than fair.
#
# That is the scenario in which the trade-off hurts: *one* model that is to be a codec and a
# generator. What can be done?
#
# * **Do not tune what can be learned.** For real data learn the noise, as above.
# * **Say what you want.** If a distortion is required, ask for it, and not for a $\beta$ (next section).
# * **Move the curve.** A better decoder or encoder, a prior that follows the codes
#   ([chapter 8](08_swapping_priors.py)), or a richer guide ([chapter 9](09_swapping_guides.py)) lowers
#   $R + D$ itself, where $\beta$ only walks along.
#
# ## Asking for a distortion
#
# GECO turns the weight round. Minimise the rate *subject to* a distortion of at most $\tau$ nats. The
# Lagrangian of that is
#
# $$ \min_{\theta, \phi} \max_{\lambda \ge 0} \; R + \lambda\,(D - \tau), $$
#
# and the multiplier $\lambda$ is moved while training: up while the constraint is broken, down while
# it holds. At the end $1/\lambda$ is the $\beta$ that was needed. One states a number with a meaning, in
# nats, and $\beta$ follows.

# %%
tolerance = 17.0
# The learning rate stays up, so that the programs can follow the multiplier to the end.
model, guide, history, report = trained(GECO(tolerance, rate=0.01, decay=0.9), "constant")
reached = -sum(history["reconstruction"][-10:]) / len(history["reconstruction"][-10:])
implied = 1 / history["multiplier"][-1]
print(f"asked for a distortion of at most {tolerance:g} nats, got {reached:.2f} in training")
print(f"and {-report.reconstruction:.2f} on new digits; the beta that it comes to is {implied:.2f}")
assert SMOKE or abs(reached - tolerance) < 0.3

# %% mystnb={"image": {"alt": "Distortion by epoch falling to the tolerance and staying there, beside the beta that the multiplier comes to"}}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
left.plot(history["epoch"], [-value for value in history["reconstruction"]], label="training")
left.axhline(tolerance, color="k", lw=1, ls=":", label=r"tolerance $\tau$")
left.set(xlabel="epoch", ylabel="distortion, nats per example")
left.legend(frameon=False)
right.plot(history["epoch"], [1 / value for value in history["multiplier"]], color="C1")
_ = right.set(xlabel="epoch", ylabel=r"$1/\lambda$, the weight on the KL", ylim=(0, None))

# %% [markdown]
# Is the model that GECO found as good as one that had this $\beta$ from the start? Train one, all else equal.

# %%
given = trained(BetaELBO(implied), "constant")[-1]
print("           rate  distortion    ELBO     NLL")
for name, r in {"GECO": report, f"β = {implied:.2f}": given}.items():
    print(f"{name:9} {r.kl:6.2f} {-r.reconstruction:11.2f} {r.elbo:7.2f} {r.nll:7.2f}")
error = math.hypot(report.elbo_stderr, given.elbo_stderr)
assert SMOKE or abs(report.elbo - given.elbo) < 3 * error
assert SMOKE or abs(report.reconstruction - given.reconstruction) < 1

# %% [markdown]
# It is the same point of the curve, found from the other end: nobody had to guess $\beta$.

# %% [markdown]
# ## Exercises
#
# 1. Give the linear models two latent dimensions instead of five. Which part of Shannon's curve can they
#    still reach? Predict it from the eigenvalues, then run it.
# 2. Prove that $R = I_q(x; z) + \mathrm{KL}(q(z) \,\|\, p(z))$, and that $D \ge H(x) - I_q(x; z)$ with $H(x)$ the entropy
#    of the data. Conclude that $R + D \ge H(x)$: no ELBO can exceed the negative entropy.
# 3. Train the digits with $\beta$ rising from $0.1$ to $1$ over the first half
#    (`BetaELBO(Linear(300, start=0.1))` of {py:mod}`pyro_vae.schedules`). Is the final point on the curve of constant
#    weights? Better or worse than $\beta = 1$?
# 4. Grey digits have a noise. Use {py:class}`pyro_vae.likelihoods.Normal` on `data.load("digits")` with `scale=1.0`,
#    and then with `scale="shared"`. To which $\beta$ does the first amount, in units of the second?
# 5. Show that at a stationary point of GECO with $\lambda > 0$ the programs are stationary for the
#    $\beta$-VAE with $\beta = 1/\lambda$. What happens when $\tau$ is smaller than any decoder can reach?
#
# ## Sources
#
# Shannon 1959, *Coding Theorems for a Discrete Source with a Fidelity Criterion* (the curve; reverse
# water-filling is in Cover and Thomas 2006, *Elements of Information Theory*, chapter 10); Higgins et al. 2017,
# *beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework*; Alemi et al. 2018,
# *Fixing a Broken ELBO*; Rezende and Viola 2018, *Taming VAEs*; Rybkin, Daniilidis and Levine 2021, *Simple
# and Effective VAE Training with Calibrated Decoders*.
