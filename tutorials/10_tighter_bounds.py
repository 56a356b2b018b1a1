# %% [markdown]
# # 10. Tighter bounds
#
# The ELBO of [chapter 1](01_the_evidence_lower_bound.py) is one way to put Jensen's inequality to use, and not the tightest. Average $K$ weights inside the
# logarithm and the bound rises towards the evidence. Average their squares and a bound comes down from *above*.
# So we can know a number that nobody can compute, to the precision that we pay for.
#
# Are tighter bounds then better to *train* with? One would think so. It took a paper with the title "Tighter
# variational bounds are not necessarily better" to see what goes wrong.
#
# You will see
#
# 1. the importance-weighted bound close in on the evidence, at a rate that is known beforehand,
# 2. the evidence held from both sides, and when the upper side must not be trusted,
# 3. the paradox: as the bound gets tighter, the guide's gradient drowns in its own noise,
# 4. a gradient of the same bound that does not, and what the difference is in training.

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

from pyro_vae import data, evaluation, fit, likelihoods, networks, posteriors, priors
from pyro_vae.objectives import (
    ELBO,
    PIWAE,
    ChiUpperBound,
    ImportanceWeightedELBO,
)
from pyro_vae.programs import linear, vae

torch.manual_seed(0)

# %% [markdown]
# ## More samples, a tighter bound
#
# With $z_1, \ldots, z_K$ from the guide and $w_k = p(x, z_k) / q(z_k \mid x)$,
#
# $$ \mathcal L_K = \mathbb E\left[\log \frac1K \sum_{k=1}^K w_k\right], \qquad
#    \mathrm{ELBO} = \mathcal L_1 \le \mathcal L_2 \le \cdots \to \log p(x). $$
#
# The average $\hat p = \frac1K \sum_k w_k$ is unbiased for $p(x)$ and has the variance $\mathrm{Var}(w)/K$. Expand the logarithm around
# $p(x)$: the first order averages to nothing, and of the second there remains
#
# $$ \log p(x) - \mathcal L_K \;\approx\; \frac{\mathrm{Var}(w)}{2 K\, p(x)^2} = \frac{\chi^2}{2K}, \qquad
#    \chi^2 = \mathbb E_q\left[\left(\frac{p(z \mid x)}{q(z)}\right)^2\right] - 1. $$
#
# The gap falls like $1/K$, and what stands before it is how far $q$ is from the posterior in the $\chi^2$ sense. Let us
# check it where it is known: $z \sim \mathcal N(0, 1)$, $x = \theta z + \varepsilon$. For a normal posterior
# $\mathcal N(\mu, \tau^2)$ and a normal guide $\mathcal N(\mu_\phi, \sigma_\phi^2)$,
#
# $$ 1 + \chi^2 = \frac{\sigma_\phi^2}{\tau \sqrt{2 \sigma_\phi^2 - \tau^2}} \exp \frac{(\mu - \mu_\phi)^2}{2 \sigma_\phi^2 - \tau^2}
#    \quad\text{if } 2 \sigma_\phi^2 > \tau^2, \text{ and } \infty \text{ otherwise.} $$

# %%
theta, noise, observed = 0.9, 0.8, 1.3
exact = data.LinearGaussian(torch.tensor([[theta]]).double(), torch.zeros(1).double(), noise)
log_p = exact.log_evidence(torch.tensor([[observed]]).double()).item()
mu, tau2 = (value.item() for value in exact.posterior(torch.tensor([[observed]]).double()))


def programs(theta, mean, log_scale):
    """As many examples as there are parameters, every one the same x."""

    def model(x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros_like(x), 1.0))
            pyro.sample("x", dist.Normal(theta * z, noise), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(mean, log_scale.exp()))

    return model, guide


def draws(objective, mean, scale, n):
    """n independent draws of the bound's estimate."""
    model, guide = programs(torch.tensor(theta), torch.tensor(mean), torch.tensor(scale).log())
    with torch.no_grad():
        terms = objective.terms(model, guide, torch.full((n,), observed))
    return terms.log_weights.double()


def log_mean(log_weights, power=1.0):
    return (torch.logsumexp(power * log_weights, 0) - math.log(len(log_weights))) / power


n = 500 if SMOKE else 20_000
mean, scale = 0.1, 0.8
chi2 = scale**2 / math.sqrt(tau2 * (2 * scale**2 - tau2))
chi2 = chi2 * math.exp((mu - mean) ** 2 / (2 * scale**2 - tau2)) - 1
counts = [1, 2, 4, 8, 16, 32, 64]
gaps, errors = [], []
for K in counts:
    estimates = log_mean(draws(ImportanceWeightedELBO(K), mean, scale, n))
    gaps.append(log_p - estimates.mean().item())
    errors.append(estimates.std().item() / n**0.5)
    print(f"K = {K:2d}: gap {gaps[-1]:.4f} ± {errors[-1]:.4f}, predicted {chi2 / (2 * K):.4f}")

assert SMOKE or gaps == sorted(gaps, reverse=True)
# The next term of the expansion is smaller by another 1/K: a tenth is left at the last two.
for gap, error, K in list(zip(gaps, errors, counts, strict=True))[-2:]:
    assert SMOKE or abs(gap - chi2 / (2 * K)) < 0.15 * chi2 / (2 * K) + 4 * error

# %% [markdown]
# ## From above
#
# Jensen's inequality works in the other direction for a convex function. For $n > 1$
#
# $$ \log p(x) = \log \mathbb E_q[w] \;\le\; \frac1n \log \mathbb E_q[w^n] =: \mathrm{CUBO}_n, $$
#
# and for $n = 2$ the right side is $\log p(x) + \frac12 \log(1 + \chi^2)$ (Dieng et al. 2017). With
# $\mathcal L_K$ below and CUBO above, the evidence is caught between two numbers. But the second is an expectation *inside* a
# logarithm, and its estimate from $K$ samples is too low in the mean, by Jensen again. What we can compute approaches the
# upper bound from below. Watch it, with a guide that is wider than the posterior and with one that is much narrower.

# %%
guides = {"a wide guide": (0.1, 0.8), "a narrow guide": (mu, 0.55 * math.sqrt(tau2))}
many = [2, 8, 32, 128, 512] if SMOKE else [2, 8, 32, 128, 512, 2048, 8192]
repeats = 20 if SMOKE else 200
sides = {}
for name, (m, s) in guides.items():
    rows = []
    for K in many:
        upper = ChiUpperBound(order=2.0, particles=K)
        log_weights = draws(upper, m, s, repeats)
        values = log_mean(log_weights), upper.power_mean(log_weights)
        rows.append([f(v).item() for v in values for f in (torch.mean, torch.std)])
    sides[name] = torch.tensor(rows).T

figures = sides["a wide guide"][:, -1]
cubo = log_p + math.log1p(chi2) / 2
print(
    f"lower side {figures[0]:.4f}, evidence {log_p:.4f}, upper side {figures[2]:.4f}, CUBO {cubo:.4f}"
)
assert SMOKE or figures[0] < log_p + 4 * figures[1] / repeats**0.5
assert SMOKE or (log_p < figures[2] and abs(figures[2] - cubo) < 0.02)
narrow = sides["a narrow guide"][2]
print("the narrow guide's 'upper bound' by K:", " ".join(f"{value:.2f}" for value in narrow))
assert SMOKE or (narrow[0] < log_p and narrow[-1] > narrow[2] + 0.05)

# %% mystnb={"image": {"alt": "Lower and upper estimates of the evidence against the number of samples: for a wide guide the upper one settles above it, for a narrow guide it begins below and keeps rising"}}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
for ax, (name, (low, low_std, high, high_std)) in zip(axes, sides.items(), strict=True):
    for middle, std, label in ((high, high_std, "CUBO, estimated"), (low, low_std, "IWAE")):
        (line,) = ax.plot(many, middle, "o-", ms=4, label=label)
        ax.fill_between(many, middle - std, middle + std, color=line.get_color(), alpha=0.15)
    ax.axhline(log_p, color="k", lw=1, label="log $p(x)$")
    ax.set(xscale="log", xlabel="samples $K$", title=name)
axes[0].set(ylabel="nats (mean ± standard deviation)", ylim=(log_p - 0.8, log_p + 1.2))
_ = axes[0].legend(frameon=False)

# %% [markdown]
# On the left the sandwich holds from a few dozen samples on. On the right $2 \sigma_\phi^2 < \tau^2$: the true CUBO is infinite. Its estimate
# starts *below* the evidence and climbs for ever, since the rare samples in the tails, where $p/q$ is huge, carry it. At no
# $K$ does the number itself say so. An upper bound of this kind deserves trust when it has stopped rising, and the guide has
# tails that cover the posterior's.
#
# ## A side that is safe
#
# There is an upper bound without this flaw, if one *exact* draw $z_1$ from the posterior is at hand: put it among
# the samples, the other $K - 1$ from the guide as before. Then
#
# $$ \mathbb E_{z_1 \sim p(z \mid x),\; z_{2:K} \sim q}\left[\log \frac1K \sum_{k=1}^K w_k\right] \;\ge\; \log p(x) $$
#
# in expectation, for every $K$ (exercise 2). And where would one get an exact draw? From the model: draw $z$ from the prior and $x$
# from the likelihood, and this $z$ *is* a draw from the posterior of this $x$. So on data that a model has made, the evidence
# is held safely from both sides; this tells how far the usual estimate, by importance sampling, is off for this model and this guide.
# Let us ask a small VAE of the digits.

# %%
digits = data.load("digits").binarized()
if SMOKE:
    digits = digits.subset(100)
latent = 8
model = vae.Model(
    priors.StandardNormal(latent), likelihoods.Bernoulli(networks.MLP(latent, 64, hidden=[200]))
)
guide = vae.Guide(posteriors.DiagonalNormal(networks.MLP(64, 2 * latent, hidden=[200])))
fit(
    model, guide, digits, epochs=2 if SMOKE else 40, restore_best=False, progress=False
)  # fmt: skip

torch.manual_seed(1)
with torch.no_grad():
    z = model.prior().sample((300,))
    made = model.likelihood(z).sample()  # so z is an exact draw of p(z|x)
    q = guide.posterior(made)

    def log_weight(z):
        return model.prior().log_prob(z) + model.likelihood(z).log_prob(made) - q.log_prob(z)

    exact_draw = log_weight(z)
    others = log_weight(q.sample((100 if SMOKE else 2000,)))
print("  K     below     above   difference")
for K in (1, 10, 100) if SMOKE else (1, 10, 100, 1000):
    below = log_mean(others[:K]).mean()
    above = log_mean(torch.cat([exact_draw[None], others[: K - 1]])).mean()
    print(f"{K:4d} {below:9.3f} {above:9.3f} {above - below:9.3f}")
assert above > below - 0.01
assert SMOKE or above - below < 0.3

# %% [markdown]
# With many samples the two sides meet within a fraction of a nat: on such data importance sampling from this guide is
# accurate. {py:func}`pyro_vae.evaluation.log_evidence` is the lower side, on any data and with an effective sample size; where
# that is near one, do not believe it.

# %%
on_test = evaluation.log_evidence(model, guide, digits.test, particles=10 if SMOKE else 500)
print(on_test)
print(f"median effective sample size {on_test.effective_sample_size.median():.0f}")

# %% [markdown]
# ## The paradox
#
# To train with $\mathcal L_K$ one follows its gradient by reparameterised samples,
# $\sum_k \tilde w_k \nabla \log w_k$ with $\tilde w_k = w_k / \sum_j w_j$. Two parties listen to it. For the model's
# parameters $\theta$ it tends to $\nabla_\theta \log p(x)$, with noise of order $1/\sqrt K$: the signal-to-noise ratio
# rises like $\sqrt K$. For the guide's parameters $\phi$ something else happens. As $K \to \infty$ the bound becomes
# $\log p(x)$, which does not depend on $\phi$ at all! The expected gradient is that of the gap, so it vanishes like $1/K$,
# and its noise only like $1/\sqrt K$:
#
# $$ \mathrm{SNR}_\theta = \frac{|\mathbb E[g_\theta]|}{\mathrm{sd}(g_\theta)} \sim \sqrt K, \qquad
#    \mathrm{SNR}_\phi \sim \frac{1/K}{1/\sqrt K} = \frac{1}{\sqrt K}. $$
#
# The better the bound, the less the guide can hear (Rainforth et al. 2018). We measure it: thousands of copies of the same
# example, each with parameters of its own, so that one backward pass is as many independent gradients.


# %%
def gradients(objective, n):
    """Independent draws of the gradient in (theta, mean, log scale), shape (3, n)."""
    start = torch.tensor([theta, 0.1, -0.2])
    parameters = start[:, None].repeat(1, n).requires_grad_()
    objective.differentiable_loss(*programs(*parameters), torch.full((n,), observed)).backward()
    return -parameters.grad.double()


def signal_to_noise(g):
    return g.mean(1).abs() / g.std(1)


torch.manual_seed(0)
n = 500 if SMOKE else 20_000
counts = [1, 4, 16, 64] if SMOKE else [1, 2, 4, 8, 16, 32, 64, 128]
found = {
    name: torch.stack(
        [signal_to_noise(gradients(ImportanceWeightedELBO(K, name), n)) for K in counts]
    )
    for name in ("pathwise", "dreg")
}
theta_snr, phi_snr, dreg_snr = found["pathwise"][:, 0], found["pathwise"][:, 1], found["dreg"][:, 1]


def slope(ratios):
    """Of the logarithm against log K, over the last five."""
    log_k = torch.tensor(counts[-5:]).double().log()
    log_r = ratios[-5:].log()
    centred = log_k - log_k.mean()
    return ((centred * log_r).sum() / centred.square().sum()).item()


# (The dip of theta's ratio at small K: there its expected gradient passes through zero.)
print(f"growth with K, as a power: theta {slope(theta_snr):.2f}, phi {slope(phi_snr):.2f}")
assert SMOKE or 0.35 < slope(theta_snr) < 0.7
assert SMOKE or -0.75 < slope(phi_snr) < -0.3

# %% [markdown]
# ## A gradient that listens
#
# The noise is not in the bound; it is in the estimator. The pathwise derivative of $\log w_k$ in $\phi$ contains the score
# $\partial_\phi \log q(z_k)$, a term that averages to zero for $K = 1$ but not under the weights $\tilde w_k$. Reparameterise this
# term *once more*, and out comes the **doubly reparameterised gradient** (DReG, Tucker et al. 2019)
#
# $$ g_\phi = \sum_k \tilde w_k^2 \; \frac{\partial \log w_k}{\partial z_k} \frac{d z_k}{d \phi}, $$
#
# in which $\log q$ is differentiated through $z$ alone. It has the same expectation. Its terms carry the *squares* of the weights, which
# are of size $1/K^2$, so the noise shrinks as fast as the signal, and faster. Leaving the score out *without* squaring the weights is another
# estimator, "sticking the landing" of [chapter 4](04_the_reparameterisation_trick.py); it is right for one sample, and biased for more.

# %%
n = 500 if SMOKE else 20_000
means = {}
for name in ("pathwise", "dreg", "stl"):
    g = gradients(ImportanceWeightedELBO(16, name), n)
    means[name] = (g.mean(1), g.std(1) / n**0.5)
    print(f"{name:9} mean's gradient {means[name][0][1]:8.4f} ± {means[name][1][1]:.4f}")
print(f"growth of DReG's ratio with K, as a power: {slope(dreg_snr):.2f}")


def apart(a, b):
    """Differences of two estimators of phi's gradient, in standard errors."""
    (mean_a, error_a), (mean_b, error_b) = means[a], means[b]
    return ((mean_a - mean_b).abs() / (error_a**2 + error_b**2).sqrt())[1:]


assert (apart("pathwise", "dreg") < 4).all()  # two numbers: a false alarm in 8,000
assert SMOKE or (apart("dreg", "stl") > 10).all()
assert SMOKE or 0.25 < slope(dreg_snr) < 0.7

# %% tags=["thumbnail"] mystnb={"image": {"alt": "Signal-to-noise ratio against the number of samples, on logarithmic axes: rising for the model, falling for the guide with the pathwise gradient, rising for the guide with DReG"}}
figure, ax = plt.subplots(figsize=(5.8, 3.8), layout="constrained")
ax.loglog(counts, theta_snr, "s-", label=r"$\theta$")
ax.loglog(counts, phi_snr, "o-", label=r"$\phi$, pathwise")
ax.loglog(counts, dreg_snr, "^-", label=r"$\phi$, DReG")
for power, start in ((0.5, dreg_snr[-1] / counts[-1] ** 0.5), (-0.5, phi_snr[0])):
    line = [float(start) * K**power for K in counts]
    ax.loglog(counts, line, color="k", lw=0.8, ls=":", label=None if power > 0 else "slopes ±½")
ax.set(xlabel="samples $K$", ylabel="signal-to-noise ratio of one gradient")
_ = ax.legend(frameon=False)

# %% [markdown]
# ## In training
#
# Does it matter? Hold a linear model fixed whose posterior is known, and train only the guide, from three starts, with as many
# samples, the same steps and the same learning rate. The bound is $\mathcal L_{64}$ throughout; in PIWAE the guide follows the mean of eight
# $\mathcal L_8$ of the same samples instead. The measure is exact: $\mathrm{KL}(q(z \mid x) \,\|\, p(z \mid x))$.

# %%
torch.manual_seed(0)
known = linear.Model(8, 4)
with torch.no_grad():
    known.W.copy_(torch.linalg.qr(torch.randn(8, 4)).Q * torch.tensor([2.0, 1.5, 1.0, 0.7]))
    known.log_scale.fill_(-0.5)
x = known.evidence().sample((200,)).detach()
known.requires_grad_(False)
target = known.posterior(x)
ways = {
    "ELBO": ELBO(kl="sampled", particles=64),
    "pathwise": ImportanceWeightedELBO(64, "pathwise"),
    "DReG": ImportanceWeightedELBO(64, "dreg"),
    "PIWAE": PIWAE(8, 8),
}
starts = 1 if SMOKE else 3
left = {name: [] for name in ways}
for name, objective in ways.items():
    for seed in range(starts):
        torch.manual_seed(seed + 1)
        student = linear.Guide(8, 4)
        fit(
            known, student, x, objective=objective, epochs=2 if SMOKE else 40, batch_size=20, lr=2e-2,
            schedule="constant", seed=seed, progress=False,
        )  # fmt: skip
        with torch.no_grad():
            q = dist.MultivariateNormal(student.mean(x), scale_tril=student.log_scale.exp().diag())
            left[name].append(kl_divergence(q, target).mean().item())
    shown = ", ".join(f"{nats:.4f}" for nats in left[name])
    print(f"{name:9} leaves KL(q || p(z|x)) = {shown} nats, from {starts} starts")
for elbo, pathwise, dreg, piwae in zip(*left.values(), strict=True):  # of each start
    assert SMOKE or pathwise > dreg + 0.5
    assert SMOKE or pathwise > 5 * piwae
    assert SMOKE or min(dreg, piwae) > 5 * elbo

# %% [markdown]
# From every start the order of the bounds is turned round. The tightest one with the pathwise gradient leaves
# the worst guide, with DReG a better one, though how much better depends on the start, and the looser bound of
# PIWAE a good one from all. And the plain ELBO, the loosest of all, is far ahead: with 64 samples it has the same
# signal as with one, and an eighth of the noise. (Here the guide can be exact; and more steps would bring the
# others on. But a step is what one pays for.)
#
# The lesson is not that tight bounds are bad. The *model* hears better with every sample, and what
# is reported should be as tight as one can afford. It is the *guide* whose teacher falls silent. So
# give the model the tight bound and the guide a gradient that it can hear: DReG, PIWAE, or more
# steps on the ELBO.
#
# ## Exercises
#
# 1. Prove $\mathcal L_K \le \mathcal L_{K+1}$. (Average the logarithm over the $K + 1$ ways to leave one sample out.)
# 2. Prove the safe upper bound: write its left side as $\log p(x)$ plus a divergence of the joint density of $z_{1:K}$ with
#    a random place for the exact draw, from $\prod_k q(z_k)$.
# 3. For a guide of scale $\sigma_\phi$ around the true mean, plot the exact $\chi^2$ against $\sigma_\phi/\tau$. Where is it smallest, how fast does
#    it grow on each side, and what follows for the choice between too wide and too narrow?
# 4. Move the guide to the exact posterior and repeat the measurement of signal and noise. What do the three estimators do there,
#    and which of them has no noise at all?
# 5. The optimal *guide* of $\mathcal L_K$ is not that of the ELBO. Use a posterior that cannot be exact (a correlated one, with
#    a diagonal guide) and compare the scales that $K = 1$ and $K = 64$ find. Which is wider, and why?
#
# ## Sources
#
# Burda, Grosse and Salakhutdinov 2016, *Importance Weighted Autoencoders*; Rainforth, Kosiorek, Le, Maddison, Igl, Wood and Teh 2018,
# *Tighter Variational Bounds are Not Necessarily Better*; Tucker, Lawson, Gu and Maddison 2019, *Doubly Reparameterized Gradient
# Estimators for Monte Carlo Objectives*; Roeder, Wu and Duvenaud 2017, *Sticking the Landing*; Dieng, Tran, Ranganath, Paisley and Blei
# 2017, *Variational Inference via chi Upper Bound Minimization*; Grosse, Ghahramani and Adams 2015, *Sandwiching the Marginal
# Likelihood Using Bidirectional Monte Carlo*; Nowozin 2018, *Debiasing Evidence Approximations* (the rate of the gap).
