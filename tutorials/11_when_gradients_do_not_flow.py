# %% [markdown]
# # 11. When gradients do not flow
#
# Everything so far followed one recipe: write the bound, draw the latent so that a gradient passes
# through the draw, climb. The recipe needs a slope. A latent that is *on* or *off* has none: move a
# logit a little, and the sample either stays as it is or jumps. And even where the slope is exact,
# it is a local thing. It knows nothing of a better optimum behind the next hill, and it is blind
# wherever symmetry makes it vanish.
#
# This chapter is a critique of gradient ascent on the ELBO, in models so small that every
# expectation is a sum of a few terms. So each complaint is measured against the exact answer, and
# so is each remedy.
#
# You will see
#
# 1. five ways to differentiate through a coin: which have noise, which have bias, and where each ends,
# 2. two symmetric optima with a saddle between, and bounds that prefer the saddle,
# 3. plateaus and local optima of a mixture, which EM shares with the gradient, for a reason,
# 4. a hard choice that leaves some parameters without any gradient at all.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import itertools
import math

import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch
from torch import nn

from pyro_vae import ELBO, fit, likelihoods
from pyro_vae.estimators import GumbelSoftmax
from pyro_vae.objectives import ImportanceWeightedELBO, WakeSleepELBO
from pyro_vae.programs import code_priors, codebook, vector_quantised

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

# %% [markdown]
# ## Two switches and a lamp
#
# Two switches are on or off, each with probability one half, and a lamp shines as brightly as there
# are switches on, up to some noise. We see $x = 1$. So one of the two is on, and nothing says which:
#
# $$ p(x, l, r) = \tfrac12 \cdot \tfrac12 \cdot \mathcal N(x; l + r, \sigma^2), \qquad
#    q(l, r) = \mathrm{Bern}(l; \mathrm{sigmoid}(a))\, \mathrm{Bern}(r; \mathrm{sigmoid}(b)). $$
#
# The posterior ties the two together ("explaining away"); the guide has independent switches, as a
# mean-field guide does. Each row of the data below is the same $x$, with logits of its own, so one
# run of the programs is as many independent experiments as there are rows.

# %%
sigma = 0.3


def model(x):
    with pyro.plate("data", len(x)):
        left = pyro.sample("left", dist.Bernoulli(0.5))
        right = pyro.sample("right", dist.Bernoulli(0.5))
        pyro.sample("x", dist.Normal(left + right, sigma), obs=x)


def guide_with(logits):
    def guide(x):
        with pyro.plate("data", len(x)):
            pyro.sample("left", dist.Bernoulli(logits=logits[:, 0]))
            pyro.sample("right", dist.Bernoulli(logits=logits[:, 1]))

    return guide


# %% [markdown]
# Brute force: four states, so the evidence is a sum of four numbers, and the ELBO of any logits is
# another. That is the truth for the rest of this half of the chapter.

# %%
states = torch.tensor(list(itertools.product([0.0, 1.0], [0.0, 1.0])))
log_joint = 2 * math.log(0.5) + dist.Normal(states.sum(-1), sigma).log_prob(torch.tensor(1.0))
log_evidence = log_joint.logsumexp(0)


def log_q(logits):
    """Of each of the four states, for logits (..., 2)."""
    return dist.Bernoulli(logits=logits[..., None, :]).log_prob(states).sum(-1)


def exact_elbo(logits):
    return (log_q(logits).exp() * (log_joint - log_q(logits))).sum(-1)


point = torch.tensor([0.5, -1.0], requires_grad=True)
(exact_gradient,) = torch.autograd.grad(exact_elbo(point), point)
print(f"log p(x = 1) = {log_evidence:.4f} nats, ELBO at one guide = {exact_elbo(point):.4f}")
for state, p in zip(states.int().tolist(), (log_joint - log_evidence).exp(), strict=True):
    print(f"  p(left, right = {state} | x = 1) = {p:.4f}")

# %% [markdown]
# ## Five gradients through a coin
#
# *Enumeration* sums over the values: exact, and the sum has as many terms as there are joint values.
# The *score function* uses $\nabla \mathbb E_q[f] = \mathbb E_q[f\, \nabla \log q]$: any latent, no
# bias, much noise; *leave-one-out* subtracts from $f$ its mean over the other samples, which changes
# no expectation. *Gumbel-softmax* replaces the coin by a smooth function of noise,
# $\mathrm{sigmoid}((a + \epsilon)/\tau)$, which is a coin only as $\tau \to 0$; *straight-through*
# shows the model the coin and takes the gradient of the smooth one.
#
# In the programs nothing changes. The estimator belongs to the objective (or to one site, by
# `infer={"estimator": ...}`). All of them get two samples a step.

# %%
draws = 500 if SMOKE else 40_000


def gradients(estimator, rows=draws):
    """Independent estimates of the gradient at the one point, (rows, 2)."""
    logits = point.detach().expand(rows, 2).clone().requires_grad_()
    objective = ELBO(estimator=estimator, particles=2)
    (-objective.differentiable_loss(model, guide_with(logits), torch.ones(rows))).backward()
    return logits.grad


def bias_and_noise(estimates):
    """Relative to the length of the exact gradient; and the standard error of the bias."""
    length = exact_gradient.norm()
    noise = (estimates - estimates.mean(0)).square().sum(-1).mean().sqrt() / length
    bias = (estimates.mean(0) - exact_gradient).norm() / length
    return float(bias), float(noise), float(noise) / len(estimates) ** 0.5


print("estimator          bias    ± error   noise     (parts of the exact gradient's length)")
measured = {}
for name in ("enumerate", "score", "leave-one-out", "gumbel-softmax", "straight-through"):
    measured[name] = bias, noise, error = bias_and_noise(gradients(name))
    print(f"{name:17s} {bias:6.3f} {error:9.3f} {noise:8.2f}")

assert measured["enumerate"][0] < 1e-12 and measured["enumerate"][1] < 1e-12
for name in ("score", "leave-one-out"):
    # The norm of two errors is beyond four of its own in at most one run of 15,000.
    assert SMOKE or measured[name][0] < 4 * measured[name][2]
for name in ("gumbel-softmax", "straight-through"):
    assert SMOKE or measured[name][0] > 10 * measured[name][2]

# %% [markdown]
# The two relaxations are no approximation that more samples would mend: their mean is another
# vector. A lower temperature trades the bias for noise. At every temperature, the relaxed estimator
# pays in one of the two.

# %% mystnb={"image": {"alt": "Bias of the Gumbel-softmax gradient falls and its noise rises as the temperature falls; the score function's noise is a horizontal line"}}
temperatures = torch.logspace(-1.3, 0.6, 8)
bias, noise, _ = zip(
    *(bias_and_noise(gradients(GumbelSoftmax(float(t)))) for t in temperatures), strict=True
)
figure, ax = plt.subplots(figsize=(6, 3.4), layout="constrained")
ax.loglog(temperatures, bias, "o-", label="bias, Gumbel-softmax")
ax.loglog(temperatures, noise, "s-", label="noise, Gumbel-softmax")
ax.axhline(measured["leave-one-out"][1], color="k", ls=":", label="noise, leave-one-out")
ax.set(xlabel=r"temperature $\tau$", ylabel="parts of the exact\ngradient's length")
_ = ax.legend(frameon=False)
assert SMOKE or (bias[0] < 0.3 * bias[-1] and noise[0] > 3 * noise[-1])

# %% [markdown]
# ## Where each of them ends
#
# What matters is where a run ends. So let each estimator climb from many random starts, with a
# learning rate that falls to zero, and look up the *exact* ELBO of what it found. Beside them run
# two objectives that are not the ELBO: the importance-weighted bound of twenty samples, and reweighted
# wake–sleep, which moves $q$ towards the samples that carry weight and needs no gradient of any sample.

# %%
starts, steps = (20, 10) if SMOKE else (100, 200)
rivals = {
    "enumerate": ELBO(estimator="enumerate"),
    "leave-one-out": ELBO(estimator="leave-one-out", particles=2),
    "Gumbel-softmax, 1": ELBO(estimator=GumbelSoftmax(1.0), particles=2),
    "Gumbel-softmax, 1/2": ELBO(estimator=GumbelSoftmax(0.5), particles=2),
    "importance-weighted": ImportanceWeightedELBO(20),
    "wake–sleep": WakeSleepELBO(20),
}


def climb(objective):
    """The logits that the objective ends at, (starts, 2)."""
    torch.manual_seed(1)
    logits = torch.randn(starts, 2).requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        objective.differentiable_loss(model, guide_with(logits), torch.ones(starts)).backward()
        optimiser.step()
        rate.step()
    return logits.detach()


def weighted_bound(logits, K=100, repeats=50):
    """The mean of log (w_1 + ... + w_K)/K, with samples of each guide."""
    index = dist.Categorical(logits=log_q(logits)).sample((K, repeats))
    log_w = (log_joint - log_q(logits)).expand(repeats, -1, -1).gather(-1, index.movedim(0, -1))
    return (log_w.logsumexp(-1) - math.log(K)).mean()


print("gap to log p(x), nats, of        its ELBO   100 weighted samples")
ends = {name: climb(objective) for name, objective in rivals.items()}
gaps, weighted_gaps = {}, {}
for name, logits in ends.items():
    gaps[name] = float(log_evidence - exact_elbo(logits).mean())
    weighted_gaps[name] = float(log_evidence - weighted_bound(logits))
    print(f"{name:30s} {gaps[name]:10.3f} {weighted_gaps[name]:15.3f}")

# %% [markdown]
# Three things are in this table. *Noise* did little harm: leave-one-out ends where enumeration
# does. *Bias* did: a relaxed switch that is half on explains a lamp that shines at one, and at a high
# temperature the guide settles on halves that no real switch can take. And the last two rows found
# another answer, which is worse as an ELBO and far better as a proposal for importance sampling. Why?

# %%
axis = torch.linspace(-6, 6, 31 if SMOKE else 121)
grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
best = exact_elbo(grid).max()
print(f"the best of all guides is {log_evidence - best:.3f} nats short; log 2 = {math.log(2):.3f}")

assert SMOKE or abs(gaps["enumerate"] - float(log_evidence - best)) < 0.02
assert SMOKE or gaps["leave-one-out"] < gaps["enumerate"] + 0.05
assert SMOKE or gaps["Gumbel-softmax, 1"] > gaps["Gumbel-softmax, 1/2"] > gaps["enumerate"]
assert SMOKE or gaps["Gumbel-softmax, 1"] > gaps["enumerate"] + 1
assert SMOKE or weighted_gaps["enumerate"] > 0.5  # hundred samples of one switch, always the same
for name in ("importance-weighted", "wake–sleep"):
    assert SMOKE or weighted_gaps[name] < weighted_gaps["enumerate"] / 3

# %% [markdown]
# ## Two summits and a saddle
#
# The ELBO minimises $\mathrm{KL}(q \,\|\, p)$, which is merciless where $q$ puts mass and $p$ has none.
# Independent switches cannot say "one of the two", so the bound would rather pick one switch for
# sure: two optima, mirror images, each short by the $\log 2$ that the missing half of the posterior is
# worth. Which of them a run finds is a matter of its start. More samples of such a guide never close
# the gap, since all of them are the same state. In between lies a saddle. On the diagonal, the exact
# gradient has no component that leads off it.
#
# The importance-weighted bound and the wake phase (which minimises $\mathrm{KL}(p \,\|\, q)$) have their
# optimum right where the ELBO has its saddle: two fair coins, which hit the truth every other time.
# Not all runs arrive there. One that begins near a corner may stay for long, for weights can only
# prefer what was drawn. (The picture has the bound of four samples, whose draws can all be summed; the
# runs had twenty.)

# %%
for name in ("enumerate", "importance-weighted", "wake–sleep"):
    middle = ((ends[name].sigmoid() - 0.5).abs() < 0.25).all(-1).double().mean()
    print(f"{name:20s} {middle:4.0%} of the runs end in the middle")
    assert SMOKE or (middle == 0 if name == "enumerate" else middle > 0.8)
diagonal = torch.tensor([0.3, 0.3], requires_grad=True)
(slope,) = torch.autograd.grad(exact_elbo(diagonal), diagonal)
print(f"on the diagonal the two slopes are {slope[0]:.6f} and {slope[1]:.6f}")
assert abs(slope[0] - slope[1]) < 1e-12

q = log_q(grid).exp()
picks = torch.tensor(list(itertools.product(range(4), repeat=4)))  # all draws of four samples
four = torch.zeros(grid.shape[:2])
for pick in picks:
    log_w = (log_joint - q.log())[..., pick]
    four += q[..., pick].prod(-1) * (log_w.logsumexp(-1) - math.log(4))
posterior = (log_joint - log_evidence).exp()
wake = (posterior * (posterior.log() - q.log())).sum(-1)

surfaces = {
    "ELBO − log p(x)": (exact_elbo(grid) - log_evidence, "enumerate"),
    "4-sample bound − log p(x)": (four - log_evidence, "importance-weighted"),
    "− KL(p ‖ q), the wake phase": (-wake, "wake–sleep"),
}

# %% tags=["thumbnail"] mystnb={"image": {"alt": "Three surfaces over the probabilities of the two switches. The ELBO has two summits in opposite corners; the importance-weighted bound and the wake phase have one in the middle. Dots mark where the runs ended"}}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.3), layout="constrained")
levels = [-5, -4, -3, -2.5, -2, -1.6, -1.3, -1, -0.8, -0.7, -0.5, -0.3]
for ax, (title, (surface, name)) in zip(axes, surfaces.items(), strict=True):
    p = axis.sigmoid()
    contours = ax.contour(
        p, p, surface, levels, cmap="viridis", linewidths=1, negative_linestyles="-"
    )
    ax.clabel(contours, fmt="%g", fontsize=7)
    found = ends[name].sigmoid()
    ax.plot(found[:, 0], found[:, 1], "o", color="C3", ms=4, alpha=0.4)
    ax.set(title=title, xlabel="q(left is on)", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    ax.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1], aspect="equal")
    ax.title.set_fontsize(10)
_ = axes[0].set_ylabel("q(right is on)")

# %% [markdown]
# ## A plateau: when all components are alike
#
# Now learn a model. A mixture of three normals on a line, equal weights, unit variance; only the
# centres $\mu$ are free. The evidence is a sum of three terms, its gradient exact,
#
# $$ \log p(x) = \log \sum_k \tfrac13 \mathcal N(x; \mu_k, 1), \qquad
#    \nabla_{\mu_k} \log p(x) = r_k(x)\, (x - \mu_k), \qquad r_k(x) = p(k \mid x), $$
#
# and so there is nothing to blame on sampling. The guide of the program is the posterior itself, so
# that the ELBO *is* the evidence.

# %%
n = 300
true_centres = torch.tensor([-2.0, 2.0, 10.0])
x = true_centres[torch.arange(n) % 3] + torch.randn(n)


def mixture(centres):
    def program(x):
        with pyro.plate("data", len(x)):
            k = pyro.sample("k", dist.Categorical(torch.ones(3) / 3))
            pyro.sample("x", dist.Normal(centres[k], 1.0), obs=x)

    return program


def responsibilities(centres, x):
    return dist.Normal(centres[..., None, :], 1.0).log_prob(x[:, None]).softmax(-1)


def exact_guide(centres):
    def program(x):
        with pyro.plate("data", len(x)):
            pyro.sample("k", dist.Categorical(responsibilities(centres, x)))

    return program


def evidence(centres):
    """Mean log p(x), for centres (..., 3)."""
    each = dist.Normal(centres[..., None, :], 1.0).log_prob(x[:, None]) - math.log(3)
    return each.logsumexp(-1).mean(-1)


loss = ELBO(estimator="enumerate").loss(mixture(true_centres), exact_guide(true_centres), x)
assert abs(-loss / n - evidence(true_centres)) < 1e-12


def slope(centres):
    r = responsibilities(centres, x)
    return (r * (x[:, None] - centres[..., None, :])).mean(-2)


# %% [markdown]
# Start all three centres at the mean of the data. They share every point alike, so they get the same
# gradient, and at the mean it is zero: a stationary point, far from any optimum. From a start that is
# *nearly* symmetric, by some $\delta$, ascent with step $\eta$ leaves at the rate of the linearised
# dynamics. There the differences between centres grow by $1 + \tfrac\eta3(V - 1)$ a step, where $V$ is
# the variance of the data. So the time lost is proportional to $\log 1/\delta$.

# %%
eta, turns = 0.05, 25 if SMOKE else 250
together = x.mean().expand(3).clone()
assert slope(together).abs().max() < 1e-12

nudges = [1e-1, 1e-3, 1e-5, 1e-7]
paths, left_at = [], []
for nudge in nudges:
    centres, path = together + nudge * torch.tensor([-1.0, 0.2, 0.8]), []
    for _ in range(turns):
        path.append(float(evidence(centres)))
        centres = centres + eta * slope(centres)
    paths.append(path)
    left_at.append(next((i for i, value in enumerate(path) if value > path[0] + 0.5), turns))
per_hundred = math.log(100) / math.log(1 + eta / 3 * (float(x.var(correction=0)) - 1))
waits = [later - sooner for sooner, later in itertools.pairwise(left_at)]
print(
    f"a start a hundred times more symmetric waits {waits} steps longer; theory: {per_hundred:.1f}"
)
assert SMOKE or all(abs(wait - per_hundred) < 2 for wait in waits)  # steps are whole numbers

# %% [markdown]
# ## Local optima, and why EM shares them
#
# Expectation–maximisation climbs the same bound by whole coordinates, not by slopes: first the best
# guide, $r_k(x) = p(k \mid x)$; then the best centres for it, $\mu_k = \sum_i r_k(x_i) x_i / \sum_i r_k(x_i)$.
# No step size, and never a step down. Does it see more than the gradient? Write $N_k = \sum_i r_k(x_i)$:
#
# $$ \mu_k^{\text{EM}} = \mu_k + \tfrac{n}{N_k}\, \nabla_{\mu_k} \tfrac1n \sum_i \log p(x_i). $$
#
# EM *is* gradient ascent, with a step size of its own for each centre. It is zero where the gradient
# is zero. So it should be quick, and get stuck in the same places. Let both start from three data
# points at random, many times.


# %%
def em(centres):
    r = responsibilities(centres, x)
    return (r * x[:, None]).sum(-2) / r.sum(-2)


anywhere = torch.tensor([-1.0, 0.5, 4.0])
step_sizes = n / responsibilities(anywhere, x).sum(0)
assert (em(anywhere) - (anywhere + step_sizes * slope(anywhere))).abs().max() < 1e-12

restarts = 20 if SMOKE else 100
first = x[torch.rand(restarts, n).argsort(-1)[:, :3]]
runs, ended = {}, {}
for name, update in {"EM": em, "gradient": lambda c: c + 0.5 * slope(c)}.items():
    centres, path = first, []
    for _ in range(40 if SMOKE else 200):
        path.append(evidence(centres))
        centres = update(centres)
    runs[name], ended[name] = torch.stack(path), centres

candidates = torch.combinations(
    torch.linspace(float(x.min()), float(x.max()), 15 if SMOKE else 40), 3
)
top = max(float(evidence(some).max()) for some in candidates.split(500))
summit = float(runs["EM"][-1].max())
print(f"best of {len(candidates)} triples on a grid: {top:.3f}; best run of EM: {summit:.3f}")
found = {name: run[-1] > summit - 1e-3 for name, run in runs.items()}
needed = {}
for name, run in runs.items():
    close = run[:, found["EM"]] > summit - 1e-3
    needed[name] = float(close.int().argmax(0).double().median())
    part = found[name].double().mean()
    print(f"{name:8s}: {part:4.0%} of starts reach it, in {needed[name]:.0f} steps (median)")
agree = (found["EM"] == found["gradient"]).double().mean()
print(f"the two agree on {agree:.0%} of starts")

failed = ended["EM"][~found["EM"]]
two_far = (failed > 6).sum(-1) == 2  # 6 lies half-way between the near clusters and the far one
curvature = torch.autograd.functional.hessian(evidence, failed[0])
print(
    f"of {len(failed)} starts that fail, {two_far.sum()} end with two centres in the far cluster;"
)
print(
    f"the Hessian there has eigenvalues {[round(v, 2) for v in torch.linalg.eigvalsh(curvature).tolist()]}"
)
luck = (1 - found["EM"].double().mean()) ** 10
print(f"that ten starts of EM all fail has a probability of {luck:.1e}")
assert two_far.all() and torch.linalg.eigvalsh(curvature).max() < 0

assert (runs["EM"].diff(dim=0) > -1e-12).all()
assert SMOKE or top <= summit + 1e-9  # nothing on the grid is above what EM found
assert SMOKE or (0.6 < found["EM"].double().mean() < 0.95 and agree > 0.9)  # 0.8 ± 0.04 of 100
assert SMOKE or needed["EM"] < needed["gradient"] / 2

# %% mystnb={"image": {"alt": "Left: evidence against the step from four nearly symmetric starts, the same curve delayed more and more. Right: evidence against the step of EM and of gradient ascent from thirty random starts; each ends on one of two levels"}}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for nudge, path in zip(nudges, paths, strict=True):
    left.plot(path, label=rf"$\delta = 10^{{{round(math.log10(nudge))}}}$")
left.set(xlabel="step", ylabel="mean log p(x), nats", title="a plateau")
left.legend(frameon=False)
for color, (name, run) in zip(("C0", "C1"), runs.items(), strict=True):
    right.semilogx(range(1, len(run) + 1), run[:, 1:30], color=color, lw=0.7, alpha=0.6)
    right.plot([], [], color=color, label=name)
right.set(xlabel="step", title="local optima", ylim=(summit - 4, summit + 0.3))
_ = right.legend(frameon=False, loc="lower right")

# %% [markdown]
# In a conjugate model the closed form buys speed, and no better view. Those starts that fail put two
# centres into the far cluster and one between the near ones. From there every small change is
# for the worse, as the Hessian says. What helps is not local: start again, and keep the best.
#
# ## A hard choice has no gradient at all
#
# The last kind of latent is chosen, not drawn: the vector-quantised VAE takes *the nearest* of $K$
# vectors. Its guide is a point mass, and the gradient reaches the one vector that was chosen. A vector
# that is nearest to no example gets exactly nothing, and so stays where it is. Eight clusters on a
# ring, eight vectors, and no networks in between, so that the best possible bound is known.

# %%
torch.set_default_dtype(torch.float32)
torch.manual_seed(0)
angle = 2 * math.pi * torch.arange(8) / 8
clusters = torch.tensor([6.0, 0.0]) + 4 * torch.stack([angle.cos(), angle.sin()], -1)
ring = clusters[torch.arange(800) % 8] + 0.5 * torch.randn(800, 2)
joint = dist.Normal(clusters, 0.5).to_event(1).log_prob(ring[:, None]) - math.log(8)
evidence_of_ring, hard = joint.logsumexp(-1).mean(), joint.amax(-1).mean()
print(f"truth: log p(x) = {evidence_of_ring:.3f} nats, with hard choices {hard:.3f}")

books, bounds, used = {}, {}, {}
for name in ("starts at the origin", "starts on examples"):
    torch.manual_seed(0)
    book = codebook.Codebook(size=8, width=2, codes=1)
    if name == "starts on examples":
        book.place(ring, torch.Generator().manual_seed(0))
    vq_model = vector_quantised.Model(
        code_priors.IndependentCodes(book), likelihoods.Normal(nn.Identity(), scale=0.5)
    )
    vq_guide = vector_quantised.Guide(nn.Identity(), book)
    ELBO().differentiable_loss(vq_model, vq_guide, ring).backward()
    without = int((book.vectors.grad.abs().sum(-1) == 0).sum())
    vq_model.zero_grad()
    history = fit(
        vq_model, vq_guide, ring, epochs=2 if SMOKE else 60, batch_size=200, lr=5e-2, progress=False
    )
    books[name], bounds[name] = book.vectors.detach(), history["elbo"][-1]
    used[name] = len(book.nearest(ring).unique())
    print(f"{name}: {without} of 8 without gradient at first, {used[name]} used at the end, "
          f"bound {bounds[name]:.2f}")  # fmt: skip
    assert without > 0 or name == "starts on examples"

assert SMOKE or used["starts at the origin"] < used["starts on examples"]
assert SMOKE or bounds["starts at the origin"] < bounds["starts on examples"] - 0.5

# %% mystnb={"image": {"alt": "Eight clusters on a ring; vectors that started at the origin are partly left behind there, vectors that started on examples are all among the clusters"}}
figure, axes = plt.subplots(
    1, 2, figsize=(7.5, 3.4), layout="constrained", sharex=True, sharey=True
)
for ax, (name, vectors) in zip(axes, books.items(), strict=True):
    ax.plot(*ring.T, ".", ms=3, color="0.75")
    ax.plot(*vectors.T, "X", color="C3", ms=9, mec="w", label="a vector")
    ax.set(title=name, xlabel="$x_1$", aspect="equal")
axes[0].set_ylabel("$x_2$")
_ = axes[1].legend(frameon=False, loc="center")

# %% [markdown]
# ## What to make of it
#
# Gradient ascent on the ELBO is a local search on a surrogate, with an estimated slope. When a run
# ends badly, ask which of the three is to blame. The experiments above keep them apart.
#
# - **The surrogate.** With the exact gradient every start found the best guide that there is, and was
#   still $\log 2$ short: the bound of that family is to blame. Take a richer guide
#   ([chapter 9](09_swapping_guides.py)), or a bound that wants coverage: importance weighting
#   ([chapter 10](10_tighter_bounds.py)) or wake–sleep. Neither a better optimiser nor more samples help.
# - **The search.** In the mixture the bound was the evidence and the slope exact, and some starts
#   failed, or waited. Break the symmetry at the start; start again and keep the best. Coordinate
#   updates with closed forms are faster, not wiser. (Annealing helps or harms, as its pace has it:
#   exercise 5.)
# - **The slope.** Noise did no harm in the end, since a falling learning rate averages it away; bias did,
#   and no number of samples mends it. Sum a discrete latent out where the sum is short; else use the score
#   function with a baseline. Relax only where the end can be checked against the discrete bound. And
#   where a choice has no slope at all, begin on the data, so that every choice is somebody's.
#
# Outside of the gradient there are wake–sleep's reweighted samples, EM's closed forms, and Markov chains,
# which need no family of $q$ at all and can refine a guide's draw
# ({py:class}`pyro_vae.posteriors.Hamiltonian`). Each gives up something: a single objective, generality,
# or speed. That the ELBO's gradient is used everywhere is due to what it asks for, one sample and one
# backward pass, and not to what it guarantees.
#
# ## Exercises
#
# 1. Set $x = 2$. Which of the estimators are biased now, and why does it matter less where they end?
# 2. Prove that $\mathbb E_q[\nabla \log q] = 0$, and from it that leave-one-out has no bias. Where does
#    the proof break if the baseline includes the sample itself?
# 3. Let the number of samples of the importance-weighted bound be two. Where is its optimum by the exact
#    sum? Find the smallest number for which the middle wins.
# 4. Write the guide of the switches as $q(l)\, q(r \mid l)$, with three logits. How much of the gap is left?
# 5. Anneal the mixture: raise $r_k(x) \propto \mathcal N(x; \mu_k, 1)^{\beta}$ from a small $\beta$ to
#    one, over a hundred steps of EM from nearly equal centres, and then over three hundred. Does a
#    larger part of starts reach the summit? Which optimum does the first split decide, and what
#    becomes of centres that have met?
#
# ## Sources
#
# Dempster, Laird and Rubin 1977, *Maximum Likelihood from Incomplete Data via the EM Algorithm*; Xu and
# Jordan 1996, *On Convergence Properties of the EM Algorithm for Gaussian Mixtures* (EM as a
# preconditioned gradient); Jin, Zhang, Balakrishnan, Wainwright and Jordan 2016, *Local Maxima in the
# Likelihood of Gaussian Mixture Models*; Ueda and Nakano 1998, *Deterministic Annealing EM Algorithm*;
# Mnih and Rezende 2016, *Variational Inference for Monte Carlo Objectives*; Jang, Gu and Poole 2017,
# *Categorical Reparameterization with Gumbel-Softmax*; Bornschein and Bengio 2015, *Reweighted
# Wake-Sleep*; van den Oord, Vinyals and Kavukcuoglu 2017, *Neural Discrete Representation Learning*.
