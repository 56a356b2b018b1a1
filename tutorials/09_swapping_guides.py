# %% [markdown]
# # 9. Swapping guides
#
# What the ELBO lacks of the evidence is $\mathrm{KL}(q(z \mid x) \,\|\, p(z \mid x))$, whatever the model
# ([chapter 1](01_the_evidence_lower_bound.py)). This **inference gap** has two causes that are easily confused. The *family* of
# $q$ may not contain the posterior: a normal with independent coordinates has no correlations, no
# bends and one mode. And even the best member of the family is only had if somebody looks for it, for
# this very $x$; an encoder, which must answer for all $x$ with one set of weights, gives something else.
#
# The cures are different, too. The first gap asks for a richer family, the second for a better encoder
# or for none at all. So one should know which of the two one has.
#
# You will see
#
# 1. five families on two posteriors that are known by integration: what each can follow, and what it leaves,
# 2. the gap of a trained VAE taken apart into the family's part and the encoder's,
# 3. that an encoder can overfit, and that the evidence does not see it,
# 4. how a few gradient steps, example by example, win most of it back.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import math

import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI
from pyro.optim import ClippedAdam
from torch import nn

from pyro_vae import data, evaluation, fit, likelihoods, networks, posteriors, priors, terms
from pyro_vae.objectives import ELBO
from pyro_vae.programs import log_joint, vae

torch.manual_seed(0)

# %% [markdown]
# ## Two posteriors that are not normal
#
# Two latents, one number seen. In the first model $z_1$ enters with its square, which bends the posterior like a banana. In the second only
# the square of a sum is seen, so that its sign is lost: two modes.


# %%
def banana(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        mean = z[..., 0] + z[..., 1] + z[..., 0] ** 2
        pyro.sample("x", dist.Normal(mean, 0.5), obs=x)


def two_modes(x):
    with pyro.plate("data", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal((z[..., 0] + z[..., 1] / 2) ** 2, 0.5), obs=x)


seen = {banana: torch.tensor([2.0]), two_modes: torch.tensor([1.2])}

# %% [markdown]
# In two dimensions the evidence is an integral that the trapezium rule does to many digits. {py:func}`pyro_vae.programs.log_joint` reads
# $\log p(x, z)$ off any program.

# %%
side = torch.linspace(-6, 6, 301)
step = 12 / 300
grid = torch.cartesian_prod(side, side)[:, None]  # (z, example, latent)


def joint_on_grid(model):
    with torch.no_grad():
        return log_joint(model)(seen[model], grid)[:, 0].double()


def log_evidence(model):
    return joint_on_grid(model).logsumexp(0).item() + 2 * math.log(step)


# %% [markdown]
# A guide for this one $x$ needs no encoder. Every family of {py:mod}`pyro_vae.posteriors` reads its parameters from a network's output, and
# `outputs` says how many they are. So give it a "network" that is a table: it looks at nothing and returns numbers of its own for each
# example. There is no amortisation, and the gap that remains is the family's alone.


# %%
class Table(nn.Module):
    """Free numbers for each of n examples, in their order."""

    def __init__(self, n, outputs):
        super().__init__()
        self.values = nn.Parameter(0.1 * torch.randn(n, *outputs))

    def forward(self, x):
        return self.values


def free_guide(family, n=1, **options):
    table = Table(n, family.outputs(2, **options))
    latent = {} if "Normal" in family.__name__ else {"latent": 2}
    return vae.Guide(family(table, **latent, **options))


flow = {"layers": 3, "hidden": 32, "context": 4}
families = {
    "DiagonalNormal": {},
    "FullCovarianceNormal": {},
    "MixtureOfNormals": {"components": 2},
    "InverseAutoregressive": flow,
    "Spline": {**flow, "layers": 2},
}
chosen = {
    banana: ["DiagonalNormal", "FullCovarianceNormal", "InverseAutoregressive"],
    two_modes: ["DiagonalNormal", "MixtureOfNormals", "Spline"],
}

# %%
particles = 100 if SMOKE else 20_000
gaps, samples = {}, {}
for model, names in chosen.items():
    exact = log_evidence(model)
    print(f"{model.__name__}: log p(x) = {exact:.4f}")
    for name in names:
        torch.manual_seed(0)
        guide = free_guide(getattr(posteriors, name), **families[name])
        if name == "MixtureOfNormals":  # components that begin together stay together
            guide.posterior.network.values.data[:, 2:6] = torch.tensor([1.0, 0.5, -1.0, -0.5])
        fit(
            model, guide, seen[model], objective=ELBO(kl="sampled", particles=32),
            epochs=2 if SMOKE else 300, lr=3e-2, progress=False,
        )  # fmt: skip
        with torch.no_grad():
            w = terms.site_terms(model, guide, seen[model], particles=particles).log_weights[:, 0]
            samples[model, name] = guide.posterior(seen[model]).sample((400,))[:, 0]
        gaps[model, name] = exact - w.mean().item()
        error = w.std().item() / particles**0.5
        print(f"  {name:<22} gap {gaps[model, name]:6.3f} ± {error:.3f}")
        assert gaps[model, name] > -4 * error  # a bound, and its estimate's noise

# %% tags=["thumbnail"] mystnb={"image": {"alt": "Draws of each fitted guide over the contours of the exact posterior: the diagonal normal covers a part, the full covariance is tilted, the flow bends; of two modes the normal takes a compromise, the mixture and the spline take both"}}
figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained", sharex=True, sharey=True)
for row, (model, names) in zip(axes, chosen.items(), strict=True):
    posterior = joint_on_grid(model)
    height = (posterior - posterior.max()).reshape(301, 301).T
    for ax, name in zip(row, names, strict=True):
        ax.contour(
            side, side, height, levels=[-6, -3, -1], colors="k", linewidths=0.8, linestyles="-"
        )
        ax.plot(*samples[model, name].T, ".", ms=3, alpha=0.6)
        ax.set_title(f"{name}\ngap {gaps[model, name]:.2f} nats", fontsize=10)
        ax.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), aspect="equal")
for ax in axes[1]:
    ax.set_xlabel("$z_1$")
for ax in axes[:, 0]:
    ax.set_ylabel("$z_2$")

# %% [markdown]
# Each family takes what it can. The full covariance tilts, and cannot bend; the flow bends. On the two modes the mixture and the spline find both.

# %%
assert SMOKE or gaps[banana, "DiagonalNormal"] > gaps[banana, "FullCovarianceNormal"] + 0.3
assert SMOKE or gaps[banana, "FullCovarianceNormal"] > gaps[banana, "InverseAutoregressive"] + 0.05
assert SMOKE or gaps[two_modes, "DiagonalNormal"] > gaps[two_modes, "MixtureOfNormals"] + 0.2
assert SMOKE or gaps[two_modes, "DiagonalNormal"] > gaps[two_modes, "Spline"] + 0.2

# %% [markdown]
# Which of the wrong answers a normal gives is no accident either. $\mathrm{KL}(q \,\|\, p)$ is an average over $q$: it is large where $q$ has mass
# and $p$ next to none, and does not notice what $p$ has where $q$ has nothing. So $q$ would rather be too small than too large. Hold it against the
# normal with the mean and the covariance of the posterior, which is the best one by $\mathrm{KL}(p \,\|\, q)$ (exercise 2).

# %%
for model, name in ((banana, "FullCovarianceNormal"), (two_modes, "DiagonalNormal")):
    log_p = joint_on_grid(model).log_softmax(0)  # the posterior's probability of each cell
    points, p = grid[:, 0].double(), log_p.exp()
    mean = p @ points
    covariance = (points - mean).T @ (p[:, None] * (points - mean))
    matched = dist.MultivariateNormal(mean, covariance).log_prob(points).log_softmax(0)
    matched_gap = (matched.exp() * (matched - log_p)).sum().item()
    found = samples[model, name].var(0).sum()
    print(
        f"{model.__name__:9} variances add up to {covariance.trace():.2f}, those of {name} to {found:.2f};"
        f" with the posterior's own moments the gap is {matched_gap:.2f} and not {gaps[model, name]:.2f}"
    )
    assert SMOKE or found < 0.75 * covariance.trace()
    assert SMOKE or matched_gap > 2 * gaps[model, name]

# %% [markdown]
# ## The gap taken apart
#
# Now a VAE with an encoder. Let $q^*$ be the best member of the family for this $x$, and $q_\phi$ what the encoder says. Then
#
# $$ \log p(x) - \mathrm{ELBO}(q_\phi) = \underbrace{\log p(x) - \mathrm{ELBO}(q^*)}_{\text{approximation gap}}
#    + \underbrace{\mathrm{ELBO}(q^*) - \mathrm{ELBO}(q_\phi)}_{\text{amortisation gap}}. $$
#
# All three numbers are needed. The last one is at hand. The middle one takes an optimisation for each example. The first we get on a grid
# again, if the latent has two dimensions: so we train a VAE of the digits with two.

# %%
digits = data.load("digits").binarized()
n = 20 if SMOKE else 150
torch.manual_seed(0)
decoder = networks.MLP(2, 64, hidden=[200])
encoder = networks.MLP(64, 2 * 2, hidden=[200])
model = vae.Model(priors.StandardNormal(2), likelihoods.Bernoulli(decoder))
guide = vae.Guide(posteriors.DiagonalNormal(encoder))
fit(
    model, guide, digits.subset(100) if SMOKE else digits, epochs=2 if SMOKE else 60,
    restore_best=False, progress=False,
)  # fmt: skip
model.requires_grad_(False)  # from here on the model stands, and only guides move

images = {
    "training digits": torch.bernoulli(digits.train[:n]),
    "new digits": digits.test[:n],
}


def evidence_on_grid(x, points):
    """log p(x) of each example: by the trapezium rule with so many points a side, on [-6, 6]²."""
    side = torch.linspace(-6, 6, points)
    z = torch.cartesian_prod(side, side)
    with torch.no_grad():
        logits = decoder(z)
        empty = nn.functional.softplus(logits).sum(1)
        joint = (model.prior().log_prob(z) - empty)[:, None] + logits @ x.T
    return joint.double().logsumexp(0) + 2 * math.log(12 / (points - 1))


evidences = {name: evidence_on_grid(x, 241) for name, x in images.items()}
coarse = evidence_on_grid(images["new digits"], 181)
difference = (coarse - evidences["new digits"]).abs().max()
print(f"a coarser grid changes log p(x) by at most {difference:.1e} nats")
assert difference < 1e-3

# %% [markdown]
# Two families, then, for each of the two sets: independent normals by {py:class}`pyro_vae.posteriors.PerExample`, which is the table for this
# family and begins where the encoder is, and the full covariance by our table.


# %%
def bound(guide, *arguments):
    """The ELBO of each example, by 200 draws."""
    with torch.no_grad():
        draws = 20 if SMOKE else 200
        return terms.site_terms(model, guide, *arguments, particles=draws).log_weights.mean(0)


def fitted(guide, *arguments):
    """Stock SVI, all examples at once and in their order; only the guide has parameters that move."""
    adam = ClippedAdam({"lr": 3e-2, "lrd": 0.99, "clip_norm": 1e6})  # lr falls by 1 % a step
    svi = SVI(model, guide, adam, loss=ELBO(particles=8))
    for _ in range(2 if SMOKE else 250):
        svi.step(*arguments)
    return bound(guide, *arguments)


def inverse_softplus(scale):
    return torch.log(torch.expm1(scale))


table = {}
for name, x in images.items():
    exact = evidences[name]
    amortised = bound(guide, x)
    q = evaluation.encode(guide, x)
    mean, scale = q.mean.detach(), q.stddev.detach()
    own = vae.Guide(posteriors.PerExample(latent=2, examples=n))
    full = free_guide(posteriors.FullCovarianceNormal, n)
    with torch.no_grad():
        own.posterior.loc.copy_(mean)
        own.posterior.raw_scale.copy_(inverse_softplus(scale))
        full.posterior.network.values[:, :2] = mean
        full.posterior.network.values[:, 2:4] = inverse_softplus(scale)
        full.posterior.network.values[:, 4] = 0.0
    best = fitted(own, x, torch.arange(n))
    best_full = fitted(full, x)
    table[name] = {
        "whole": (exact - amortised).mean().item(),
        "approximation": (exact - best).mean().item(),
        "full": (exact - best_full).mean().item(),
    }
    t = table[name]
    print(
        f"{name:16} log p(x) {exact.mean():7.2f}, gap {t['whole']:.3f}"
        f" = approximation {t['approximation']:.3f} + amortisation {t['whole'] - t['approximation']:.3f}"
        f"; with full covariance the first is {t['full']:.3f}"
    )
    assert SMOKE or -0.02 < t["full"] < t["approximation"] + 0.02  # 200 draws of each of 150
    assert SMOKE or t["approximation"] < t["whole"]

# %% [markdown]
# So most of this gap is not the fault of the normal: it is the encoder's. The decoder can overfit, everybody knows that. Can the *encoder*?
# Hold the model as it is, and train a second encoder on nothing but those training digits, the same coins again and again.

# %%
amortisation = {name: t["whole"] - t["approximation"] for name, t in table.items()}
assert SMOKE or all(amortisation[name] > 2 * t["approximation"] for name, t in table.items())
torch.manual_seed(1)
second = vae.Guide(posteriors.DiagonalNormal(networks.MLP(64, 2 * 2, hidden=[200])))
fit(
    model, second, images["training digits"], epochs=2 if SMOKE else 300, restore_best=False,
    progress=False,
)  # fmt: skip
overfitted = {}
print("amortisation gap, nats    first encoder   second")
for name, x in images.items():
    whole = (evidences[name] - bound(second, x)).mean().item()
    overfitted[name] = whole - table[name]["approximation"]
    print(f"{name:23s} {amortisation[name]:12.3f} {overfitted[name]:12.3f}")
assert SMOKE or overfitted["new digits"] > 2 * overfitted["training digits"]
assert SMOKE or overfitted["new digits"] > 1.3 * amortisation["new digits"]

# %% [markdown]
# The second encoder knows its own digits and guesses wrongly about others. $\log p(x)$ is the same under both, for the model is; only the bound
# tells, on new data. So an NLL that is estimated by few samples of such a guide is too high, and one may blame the model for it.
#
# ## Between encoder and table
#
# A table has to be fitted for each new digit, hundreds of steps. A middle way lets the encoder begin and takes a few gradient steps from there, on
# the bound of each example. {py:class}`pyro_vae.posteriors.SemiAmortized` wraps the posterior that we have; nothing is trained.

# %%
x = images["new digits"]
counts = [0, 2] if SMOKE else [0, 1, 2, 5, 10, 20, 40]
refined = []
for steps in counts:
    torch.manual_seed(0)
    posterior = posteriors.SemiAmortized(
        guide.posterior, log_joint(model), steps=steps, lr=5e-3, particles=16, through=False
    )
    refined.append((evidences["new digits"] - bound(vae.Guide(posterior), x)).mean().item())
    print(f"{steps:2d} steps: gap {refined[-1]:.3f}")
assert SMOKE or refined[-1] < refined[0] - 0.5 * amortisation["new digits"]

# %% mystnb={"image": {"alt": "Left: the inference gap of training and of new digits as stacked bars of approximation and amortisation; right: the gap falling with the number of refining steps towards the family's line"}}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
names = list(table)
first = [table[name]["approximation"] for name in names]
left.bar(names, first, width=0.5, label="approximation gap")
left.bar(names, [amortisation[name] for name in names], 0.5, bottom=first, label="amortisation gap")
for i, name in enumerate(names):
    left.plot(
        [i - 0.25, i + 0.25],
        [table[name]["full"]] * 2,
        "k:",
        label=None if i else "full covariance",
    )
left.set(ylabel="log $p(x)$ − ELBO, nats", ylim=(0, 1.5 * max(t["whole"] for t in table.values())))
left.legend(frameon=False, fontsize=9)
right.plot(counts, refined, "o-")
right.axhline(
    table["new digits"]["approximation"], color="k", lw=1, ls=":", label="best of the family"
)
right.set(xlabel="refining steps on new digits", ylabel="gap, nats", ylim=(0, None))
_ = right.legend(frameon=False)

# %% [markdown]
# ## What follows
#
# Before taking a richer family, ask which gap you have. A flow with an encoder that lags is still amortised: it may even have the larger second gap, as there is more to
# predict. Widen the encoder, train it longer, or refine. If the first gap dominates, take a family with the shape that is missing, the cheapest one: a full covariance before
# a flow. The project's benchmarks have both families on MNIST, and what a step costs with them.
#
# And remember the twist of chapter 1: in joint training the model moves towards posteriors that its guide can represent. Here we held the model still, so that the numbers mean what they
# say. A model that had been trained with the full covariance would have posteriors that need it more.
#
# ## Exercises
#
# 1. Fit `Planar` and `Householder` to the banana. One of them cannot do better than the full covariance; why?
# 2. Show that of all normals the one with the mean and the covariance of $p$ has the least $\mathrm{KL}(p \,\|\, q)$, whatever $p$ is. And that
#    for a *normal* $p$ of precision $\Lambda$ the independent normals with the least $\mathrm{KL}(q \,\|\, p)$ have the variances $1/\Lambda_{dd}$,
#    none of which is larger than that of $p$. ([Chapter 3](03_why_joint.py) has the gap that they leave.)
# 3. Retrain only the encoder, on the fixed model, with 10, 50 and 400 hidden units. Plot the amortisation gap of training and of new digits.
#    Is there an encoder that is too large?
# 4. Train the VAE again with `FullCovarianceNormal` from the start. Take its gap apart, once for each of the two families. Did the model make use of
#    its guide?
# 5. With 10 latents no grid helps. Bracket $\log p(x)$ as in [chapter 10](10_tighter_bounds.py), and give the two gaps with error bars.
#
# ## Sources
#
# Cremer, Li and Duvenaud 2018, *Inference Suboptimality in Variational Autoencoders* (the two gaps); Kim, Wiseman, Miller, Sontag and Rush 2018, *Semi-Amortized
# Variational Autoencoders*; Rezende and Mohamed 2015, *Variational Inference with Normalizing Flows*; Kingma et al. 2016, *Improving Variational Inference with
# Inverse Autoregressive Flow*; Durkan, Bekasov, Murray and Papamakarios 2019, *Neural Spline Flows*; Figurnov, Mohamed and Mnih 2018, *Implicit
# Reparameterization Gradients* (the mixture); Turner and Sahani 2011, *Two Problems with Variational Expectation Maximisation for Time-Series Models*.
