# %% [markdown]
# # 3. Why joint?
#
# A VAE moves the model's parameters $\theta$ and the guide's parameters $\phi$ in the same step.
# That is not how latent-variable models used to be learned. Expectation-maximisation (EM) goes in
# turns: first it works out the posterior under the present model, then it improves the model with
# that posterior held fixed. Why give up the turns?
#
# This chapter compares the two where the right answer is known: on **probabilistic PCA**, whose
# evidence, posterior and maximum-likelihood solution all have closed forms. One quantity tells
# what an update does: the **gap** $\log p_\theta(x) - \mathrm{ELBO}(\theta, \phi)$.
#
# You will see
#
# 1. that an E-step closes the gap and an M-step opens it, while the evidence can only rise,
# 2. that a small joint step gains what a $\phi$-step and a $\theta$-step gain together, for the
#    price of one,
# 3. how many steps joint and alternating training need to come close to the exact optimum,
# 4. that the joint optimum is a particular one among the many that are equally likely.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import math

import matplotlib.pyplot as plt
import pyro.distributions as dist
import torch
from torch.distributions import kl_divergence

from pyro_vae import data, explain, fit, terms
from pyro_vae.programs import linear, solutions
from pyro_vae.training import Alternating, Joint

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)

# %% [markdown]
# ## A model whose every step is known
#
# Two causes, eight measurements, normal noise of one size:
#
# $$ p(z) = \mathcal N(0, I), \quad p_\theta(x \mid z) = \mathcal N(W z + b, \sigma^2 I), \quad
#    q_\phi(z \mid x) = \mathcal N(V x + c, \operatorname{diag} \sigma_\phi^2). $$
#
# The model has $\theta = (W, b, \sigma)$ and the guide $\phi = (V, c, \sigma_\phi)$: one set of numbers for
# *all* examples, which is what makes it an encoder. The two programs are as short as their
# formulas.
#
# ```python
# def model(x):
#     with pyro.plate("data", len(x)):
#         z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
#         pyro.sample("x", dist.Normal(z @ W.T + b, log_scale.exp()).to_event(1), obs=x)
#
# def guide(x):
#     with pyro.plate("data", len(x)):
#         pyro.sample("z", dist.Normal(linear(x), sigma_phi).to_event(1))
# ```
#
# {py:mod}`pyro_vae.programs.linear` has them as modules, with the exact evidence and posterior
# beside.

# %%
features, latent = 8, 2
# Another seed than the model's below, or training would begin with the true directions.
x = data.linear_gaussian(1250, features=8, latent=2, noise=1.0, seed=7, dtype=torch.float64).train
best = solutions.principal_components(x, latent)  # the model of greatest likelihood
optimum = best.evidence().log_prob(x).mean().item()
print(f"{len(x)} examples; the greatest mean log-evidence is {optimum:.4f} nats")


def start(seed=0):
    """The same untrained model and guide at every call; b starts at the data's mean."""
    torch.manual_seed(seed)
    model, guide = linear.Model(features, latent), linear.Guide(features, latent)
    with torch.no_grad():
        model.b.copy_(x.mean(0))
    return model, guide


model, guide = start()
print(explain(model, guide, x))

# %% [markdown]
# For normals the ELBO itself has a closed form, so that in the next two sections nothing is
# sampled.


# %%
def belief(guide):
    """q(z|x) for all x at once."""
    scale = guide.log_scale.exp()
    return dist.MultivariateNormal(guide.mean(x), scale_tril=torch.diag(scale))


def exact_elbo(model, q):
    """E_q[log p(x|z)] - KL(q || p(z)), mean over the examples, nats."""
    residual = (x - model.b - q.mean @ model.W.T).square().sum(-1)
    spread = (model.W @ q.covariance_matrix @ model.W.T).diagonal(dim1=-2, dim2=-1).sum(-1)
    log_normaliser = features * (model.log_scale + 0.5 * math.log(2 * math.pi))
    reconstruction = -(residual + spread) / (2 * model.log_scale.mul(2).exp()) - log_normaliser
    prior = dist.MultivariateNormal(torch.zeros(latent), torch.eye(latent))
    return (reconstruction - kl_divergence(q, prior)).mean()


def evidence(model):
    return model.evidence().log_prob(x).mean()


with torch.no_grad():
    gap = evidence(model) - exact_elbo(model, belief(guide))
    divergence = kl_divergence(belief(guide), model.posterior(x)).mean()
    sampled = terms.site_terms(model, guide, x, particles=10 if SMOKE else 500).log_weights.mean()
print(f"gap: {gap:.6f} nats; KL(q(z|x) || p(z|x)): {divergence:.6f} nats")
print(f"ELBO: {exact_elbo(model, belief(guide)):.3f} nats; from the programs: {sampled:.3f}")
assert (gap - divergence).abs() < 1e-10
assert SMOKE or (sampled - exact_elbo(model, belief(guide))).abs() < 0.2

# %% [markdown]
# ## Expectation-maximisation: what each step does to the gap
#
# Look at the ELBO as a function of two things, a distribution $q$ for each example and the model.
# EM is coordinate ascent on it (Neal and Hinton).
#
# - **E-step**: the best $q$ for the present model is the posterior,
#   $q \leftarrow p_\theta(z \mid x)$. The evidence does not move; the gap falls to zero.
# - **M-step**: the best model for the present $q$. The ELBO rises by some $\Delta$. The posterior
#   of the new model is another one than $q$, so a gap opens, and by as much as that the evidence
#   has risen *more* than the bound: $\Delta \log p = \Delta + \text{new gap}$.
#
# For this model both have formulas. With $d = x - b$ and $\mathbb E[z]$, $\mathbb E[z z^\top]$
# under $q$,
#
# $$ W \leftarrow \Big(\sum d\, \mathbb E[z]^\top\Big) \Big(\sum \mathbb E[z z^\top]\Big)^{-1}, \qquad
#    \sigma^2 \leftarrow \frac{1}{n D} \sum \mathbb E\, \| d - W z \|^2. $$


# %%
@torch.no_grad()
def m_step(model, q):
    d = x - model.b
    zz = (q.covariance_matrix + q.mean[:, :, None] * q.mean[:, None, :]).sum(0)
    W = d.T @ q.mean @ torch.linalg.inv(zz)
    squared = d.square().sum() - 2 * ((d @ W) * q.mean).sum() + (W.T @ W * zz).sum()
    model.W.copy_(W)
    model.log_scale.copy_(0.5 * (squared / d.numel()).log())


@torch.no_grad()
def expectation_maximisation(rounds, seed=0):
    """The model, and (evidence, ELBO) at the start and after each half of each round."""
    model, guide = start(seed)
    q = belief(guide)
    path = [(evidence(model), exact_elbo(model, q))]
    for _ in range(rounds):
        q = model.posterior(x)  # E
        path.append((evidence(model), exact_elbo(model, q)))
        m_step(model, q)  # M
        path.append((evidence(model), exact_elbo(model, q)))
    return model, torch.tensor(path)


rounds = 12
_, em = expectation_maximisation(rounds)
print("round  step   log p(x)      ELBO       gap")
for i, (log_p, elbo) in enumerate(em[:9]):
    step = "start" if i == 0 else "E" if i % 2 else "M"
    print(f"{(i + 1) // 2:5d}  {step:5s}  {log_p:9.4f} {elbo:9.4f} {log_p - elbo:9.4f}")
print(f"after {rounds} rounds the evidence is {optimum - em[-1, 0]:.1e} nats below the greatest")

before, after_e, after_m = em[:-1:2], em[1::2], em[2::2]
gap_after_e = after_e[:, 0] - after_e[:, 1]
assert torch.equal(before[:, 0], after_e[:, 0])  # E: the evidence stays
assert gap_after_e.abs().max() < 1e-10  # E: and the gap closes
assert (after_m[:, 1] >= after_e[:, 1]).all()  # M: the ELBO rises
assert (after_m[:, 0] >= after_m[:, 1]).all()  # M: and the evidence at least as much
# The evidence changes by the ELBO's change and the gap that opens, to the last digit.
rise, opened = after_m[:, 1] - after_e[:, 1], after_m[:, 0] - after_m[:, 1]
assert ((after_m[:, 0] - after_e[:, 0]) - (rise + opened)).abs().max() < 1e-10

# %% [markdown]
# ## The same in small steps
#
# Neither formula survives a neural network. The E-step would be an integral for each example, the
# M-step a training run of its own. What one can have is a gradient: a small step of $\phi$ in
# place of the E-step, a small step of $\theta$ in place of the M-step. And then the question is
# whether to take turns at all.
#
# Take one gradient step of size $\eta$ from the same point: of $\phi$ alone, of $\theta$ alone, of
# both. To first order in $\eta$ the gains are $\eta \|g_\phi\|^2$, $\eta \|g_\theta\|^2$ and their
# sum. What two separate steps know of each other, the mixed second derivatives, costs or gains
# only $\eta^2$:
#
# $$ \Delta_{\text{joint}} = \Delta_\phi + \Delta_\theta + \eta^2\, g_\theta^\top \nabla_\theta \nabla_\phi \mathrm{ELBO}\, g_\phi + O(\eta^3). $$


# %%
def gradient_step(model, guide, lr, moves):
    """One step up the exact ELBO, of the programs in `moves`."""
    parameters = [p for program in moves for p in program.parameters()]
    gradients = torch.autograd.grad(exact_elbo(model, belief(guide)), parameters)
    with torch.no_grad():
        for p, g in zip(parameters, gradients, strict=True):
            p.add_(lr * g)


def gain(lr, *moved):
    """What one step changes: (evidence, ELBO)."""
    model, guide = start()
    before = torch.stack([evidence(model), exact_elbo(model, belief(guide))])
    gradient_step(model, guide, lr, [{"phi": guide, "theta": model}[name] for name in moved])
    return (torch.stack([evidence(model), exact_elbo(model, belief(guide))]) - before).detach()


print("   step        phi      theta        sum      joint   joint / sum")
ratios = []
for lr in (4e-3, 1e-3, 2.5e-4, 6.25e-5):
    phi, theta, joint = (gain(lr, *m)[1] for m in (["phi"], ["theta"], ["phi", "theta"]))
    ratios.append(joint / (phi + theta))
    print(
        f"{lr:.1e} {phi:10.5f} {theta:10.5f} {phi + theta:10.5f} {joint:10.5f} {ratios[-1]:12.4f}"
    )

off = (torch.stack(ratios) - 1).abs()
assert (off[:-1] / off[1:]).min() > 3  # a quarter of the step, a quarter of the difference
assert gain(1e-3, "phi")[0] == 0  # a step of phi leaves the evidence alone

# %% [markdown]
# A joint step costs one pass through both programs, as does a step of $\phi$ alone, since its
# gradient goes back through the decoder anyway. So for small steps taking turns pays twice for the
# same.
#
# ## Where the updates lead
#
# In the plane of gap and evidence each kind of update has its direction. A $\phi$-step goes
# straight to the left. A $\theta$-step goes up: from a gap of zero, as in EM, it must open one;
# from far off it may close some of it, as the model comes to meet the guide. Along the grey lines
# the ELBO is the same.

# %%
updates = 24 if SMOKE else 240


def ascend(turns, lr=4e-3):
    """The path of (evidence, ELBO) under exact gradient steps; turns cycles through what moves."""
    model, guide = start()
    path = []
    for step in range(updates):
        with torch.no_grad():
            path.append((evidence(model), exact_elbo(model, belief(guide))))
        names = turns[step % len(turns)]
        gradient_step(model, guide, lr, [{"phi": guide, "theta": model}[name] for name in names])
    return torch.tensor(path)


paths = {
    "EM": em,
    "in turns": ascend([["phi"]] * 3 + [["theta"]] * 3),
    "joint": ascend([["phi", "theta"]]),
}

# %% tags=["thumbnail"] mystnb={"image": {"alt": "Paths in the plane of gap and log evidence: EM goes left to gap zero and then up and right in large steps; alternating gradient steps go in stairs; joint steps go diagonally; both slow down near the wall, below the optimum"}}
figure, ax = plt.subplots(figsize=(7, 4.4), layout="constrained")
corner = torch.tensor([0.0, 40.0])
for level in range(-40, 40, 2):
    ax.plot(corner, optimum + level + corner, color="0.85", lw=0.8, zorder=0)
for (name, path), mark in zip(paths.items(), ("o-", ".-", ".-"), strict=True):
    ax.plot(path[:, 0] - path[:, 1], path[:, 0], mark, ms=3, lw=1.2, label=name)
ax.plot(0, optimum, "k*", ms=12, label="exact optimum", clip_on=False, zorder=5)
gaps = torch.cat([path[:, 0] - path[:, 1] for path in paths.values()])
lowest = min(path[:, 0].min() for path in paths.values())
ax.set(
    xlabel=r"gap, $\log p(x)$ − ELBO, nats",
    ylabel=r"$\log p(x)$, nats per example",
    xlim=(0, float(gaps.max()) * 1.05),
    ylim=(float(lowest) - 1, optimum + 1),
)
_ = ax.legend(frameon=False, loc="upper right")
assert all((path[1:, 1] >= path[:-1, 1]).all() for path in paths.values())  # all climb one ELBO
assert paths["joint"][-1, 1] > paths["in turns"][-1, 1]  # joint is ahead after as many updates

# %% [markdown]
# EM runs along the whole floor to a gap of zero before it takes its first step up. Gradient steps
# in turns go in stairs, joint steps cut the corners. All cross the grey lines upwards, for the
# three climb one function. Near the wall the small steps are slow: EM has arrived when they have
# not. But a stop of one is a stop of all: where neither $\phi$ nor $\theta$ alone can gain, both
# together have a gradient of zero.
#
# ## With mini-batches, samples and Adam
#
# Now as one trains: {py:func}`pyro_vae.fit` with a strategy. `Alternating(5)` takes five steps of
# $\phi$ and then one of $\theta$. After every epoch we look, in closed form, at how far the ELBO
# is from the greatest evidence.


# %%
class Watch:
    """Notes the exact shortfall of a model and a guide after each epoch."""

    def __init__(self, model, guide):
        self.model, self.guide = model, guide
        self.steps, self.shortfall = [], []

    def log(self, row, step):
        with torch.no_grad():
            elbo = exact_elbo(self.model, belief(self.guide))
        self.steps.append(step)
        self.shortfall.append(optimum - elbo.item())


strategies = {
    "joint": Joint(),
    "in turns, 1 : 1": Alternating(guide_steps=1),
    "in turns, 5 : 1": Alternating(guide_steps=5),
}
watches = {}
for name, strategy in strategies.items():
    model, guide = start()
    watch = watches[name] = Watch(model, guide)
    options = {"lr": 2e-2, "schedule": "constant", "batch_size": 100, "progress": False}
    epochs = 2 if SMOKE else 150
    fit(model, guide, x, strategy=strategy, epochs=epochs, loggers=[watch], **options)

near = 0.2


def steps_until_near(watch):
    """The step at which the mean of five epochs is near the optimum: single ones are noisy."""
    smooth = torch.tensor(watch.shortfall).unfold(0, min(5, epochs), 1).mean(1)
    reached = (smooth < near).nonzero()
    return watch.steps[int(reached[0])] if len(reached) else math.inf


needed = {name: steps_until_near(watch) for name, watch in watches.items()}
for name, steps in needed.items():
    print(f"{name:16s} within {near} nats of the optimum after {steps:4} steps")
joint, one_to_one, five_to_one = needed.values()
em_steps = int((optimum - em[::2, 1] < near).nonzero()[0]) * (len(x) // 100)  # a round is a pass
print(f"EM               within {near} nats of the optimum after {em_steps:4} steps' worth")
assert em_steps < joint
assert SMOKE or one_to_one > 1.2 * joint
assert SMOKE or five_to_one > 1.5 * one_to_one

# %% mystnb={"image": {"alt": "Shortfall of the ELBO from the greatest evidence by step, on a logarithmic axis: joint training falls first, then one-to-one alternation, then five-to-one; EM falls fastest"}}
figure, ax = plt.subplots(figsize=(7, 3.8), layout="constrained")
per_epoch = len(x) // 100
for name, watch in watches.items():
    ax.semilogy(watch.steps, watch.shortfall, label=name)
passes = torch.arange(rounds + 1) * per_epoch
ax.semilogy(passes, optimum - em[::2, 1], "ko-", ms=3, label="EM, a round for each pass")
ax.axhline(near, color="0.6", lw=0.8, ls=":")
ax.set(xlabel="steps (mini-batches)", ylabel="greatest $\\log p(x)$ − ELBO, nats")
_ = ax.legend(frameon=False)

# %% [markdown]
# Joint training needs the fewest passes. Five steps of $\phi$ for one of $\theta$ need the most:
# the guide was never so far behind that it needed five. EM beats them all, because here, and
# hardly anywhere else, its two steps have formulas.
#
# ## One optimum among many
#
# Turn the columns of $W$ by any rotation $R$, and the evidence stays the same, since
# $W R R^\top W^\top = W W^\top$. EM stops wherever it first meets this set of best models. The
# ELBO is not indifferent: our guide has independent causes, and the posterior's precision
# $\Lambda = I + W^\top W / \sigma^2$ is diagonal only where the columns of $W$ are orthogonal.
# Elsewhere the best such guide leaves the gap
#
# $$ \tfrac12 \Big( \sum_i \log \Lambda_{ii} - \log \det \Lambda \Big). $$


# %%
@torch.no_grad()
def least_gap(model):
    """What the best guide with independent causes leaves, nats."""
    precision = torch.eye(latent) + model.W.T @ model.W / model.log_scale.mul(2).exp()
    return (0.5 * (precision.diagonal().log().sum() - precision.logdet())).item()


@torch.no_grad()
def angle(model):
    """How far the first column is turned from the first principal axis, degrees in [0, 90)."""
    along, across = torch.linalg.lstsq(best.W, model.W[:, :1]).solution[:, 0]
    return (torch.atan2(across, along).rad2deg() % 90).item()


@torch.no_grad()
def turned(degrees):
    """The best model with its columns turned: as good a model."""
    turn = math.radians(degrees)
    rotation = torch.tensor([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    model = solutions.principal_components(x, latent)
    model.W.copy_(model.W @ rotation)
    assert (evidence(model) - optimum).abs() < 1e-10
    return model


joint_model = watches["joint"].model
em_models = [expectation_maximisation(3 * rounds, seed)[0] for seed in range(2 if SMOKE else 8)]
em_gaps = [least_gap(model) for model in em_models]
print(f"EM from {len(em_models)} starts: below the optimum by at most "
      f"{max(optimum - evidence(model).item() for model in em_models):.1e} nats,")  # fmt: skip
print("  least gaps " + ", ".join(f"{g:.3f}" for g in em_gaps) + " nats")
print(f"joint: {optimum - evidence(joint_model).item():.1e} nats below the optimum, "
      f"least gap {least_gap(joint_model):.1e} nats")  # fmt: skip
assert SMOKE or least_gap(joint_model) < 0.01 < 0.05 < max(em_gaps)
# EM's models are the best ones, turned: each lies on the curve below.
off = [abs(least_gap(model) - least_gap(turned(angle(model)))) for model in em_models]
assert max(off) < 0.01  # a rest, which more rounds make smaller

# %% mystnb={"image": {"alt": "The least gap of a guide with independent causes against the angle by which the columns of W are turned, zero at 0 and 90 degrees and greatest between; EM's models lie anywhere on the curve, the joint one at its foot"}}
figure, ax = plt.subplots(figsize=(5.5, 3.3), layout="constrained")
angles = torch.linspace(0, 90, 46).tolist()
ax.plot(angles, [least_gap(turned(a)) for a in angles], color="0.5", label="best models, turned")
ax.plot([angle(m) for m in em_models], em_gaps, "o", label="EM, from several starts")
ax.plot(angle(joint_model), least_gap(joint_model), "*", ms=12, label="joint", clip_on=False)
ax.set(xlabel="columns of $W$ turned from the principal axes, degrees", ylabel="least gap, nats")
_ = ax.legend(frameon=False)

# %% [markdown]
# Joint training found the principal axes, which EM, with a better guide, had no reason to look
# for. What the guide cannot say, the model learns not to need: as in chapter 1, but this time it
# does no harm, for among the best models there is one that the guide can follow.
#
# ## When turns are worth it
#
# - The E-step has a formula: use it, as EM does, or put the exact posterior in as the guide
#   ({py:class}`pyro_vae.programs.linear.ExactGuide`), and every gradient step climbs the evidence
#   itself.
# - The guide lags behind. A deep decoder may learn to ignore $z$ before the encoder says anything
#   of use; {py:class}`pyro_vae.training.Aggressive` lets $\phi$ catch up first, and then goes on
#   jointly. [Chapter 7](07_posterior_collapse.py) shows when that helps.
# - $\theta$ and $\phi$ want different step sizes: `fit(..., lr=..., lr_guide=...)`.
#
# The deeper reason for joint steps is **amortisation**. EM's turns make sense if the E-step can be
# finished. An encoder is one set of numbers for all examples, and what is best for it changes with
# every step of the model. There is no point in finishing an E-step for a model that will be
# another one in the next moment.
#
# ## Exercises
#
# 1. Start `ascend` from the model of EM's last round. Which way do the joint steps move in the
#    plane of gap and evidence, and why does the evidence hardly change?
# 2. Replace the guide by {py:class}`pyro_vae.programs.linear.ExactGuide` in `fit`, with
#    `ELBO(kl="sampled")`. What are the gap and the variance of the bound? Compare the steps
#    needed.
# 3. Show that a point where $\phi$-steps and $\theta$-steps both gain nothing to first order is a
#    stationary point of the joint problem. Is every maximum of the ELBO in $\phi$ and $\theta$
#    apart also a joint maximum?
# 4. Derive the M-step of $W$ and $\sigma^2$ from the ELBO with $q$ held fixed, and add that of
#    $b$.
# 5. Give the two programs different learning rates, and find a ratio that needs fewer steps than
#    one. Does the best ratio stay the best for another noise level of the data?
#
# ## Sources
#
# Dempster, Laird and Rubin 1977, *Maximum Likelihood from Incomplete Data via the EM Algorithm*;
# Neal and Hinton 1998, *A View of the EM Algorithm that Justifies Incremental, Sparse, and Other
# Variants*; Tipping and Bishop 1999, *Probabilistic Principal Component Analysis*; Lucas, Tucker,
# Grosse and Norouzi 2019, *Don't Blame the ELBO! A Linear VAE Perspective on Posterior Collapse*
# (the orthogonal optimum); He, Spokoyny, Neubig and Berg-Kirkpatrick 2019, *Lagging Inference
# Networks and Posterior Collapse in Variational Autoencoders*.
