# %% [markdown]
# # 4. The reparameterisation trick
#
# The bound is an expectation over a distribution that we are about to change:
# $\mathcal L(\phi) = \mathbb E_{q_\phi(z)}[f(z)]$. To climb it we need $\nabla_\phi \mathcal L$,
# and the derivative meets $\phi$ under the expectation, where samples come from. There are two
# ways out, both without bias. One of them made variational autoencoders trainable, and the other
# had been known for decades before.
#
# What is the difference, if both are right on average? *How far one draw is from the average*.
# This chapter measures it, against gradients that are known exactly, and follows what it does to
# training.
#
# You will see
#
# 1. the two estimators side by side, in one dimension and in many, as formulas and as measured,
# 2. the same on a whole autoencoder, on the way from its start to the posterior,
# 3. that a noisy gradient costs learning rate: how the trick bears on stability,
# 4. what one does where there is no trick: baselines, and sums,
# 5. a variant, *sticking the landing*, whose noise vanishes just where training ends.

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

from pyro_vae import ELBO, ProgramError, data, explain
from pyro_vae.programs import linear, solutions

torch.set_default_dtype(torch.float64)
torch.manual_seed(0)

# %% [markdown]
# ## Two ways to differentiate an expectation
#
# **Score function.** Differentiate the density. Since $\nabla q = q\, \nabla \log q$,
#
# $$ \nabla_\phi\, \mathbb E_{q_\phi}[f(z)] = \mathbb E_{q_\phi}\big[f(z)\, \nabla_\phi \log q_\phi(z)\big]. $$
#
# It asks nothing of $f$ but its value. It works for any $q$, discrete ones too.
#
# **Pathwise**, by the reparameterisation trick. Write the draw as a function of noise without
# parameters, $z = g_\phi(\varepsilon)$, and differentiate the *sample*:
#
# $$ \nabla_\phi\, \mathbb E_{q_\phi}[f(z)] = \nabla_\phi\, \mathbb E_{p(\varepsilon)}[f(g_\phi(\varepsilon))]
#    = \mathbb E_{p(\varepsilon)}\big[\nabla_\phi g_\phi(\varepsilon)\, f'(g_\phi(\varepsilon))\big]. $$
#
# It needs a differentiable $f$ and such a $g$. For a normal,
# $g(\varepsilon) = \mu + \sigma \varepsilon$.
#
# Take $f(z) = z^2$ and the gradient in $\mu$, which is $2 \mu$. One draw of each estimator is
#
# $$ \text{pathwise: } 2(\mu + \sigma\varepsilon), \qquad \text{score: } (\mu + \sigma\varepsilon)^2\, \varepsilon / \sigma, $$
#
# and with the moments of a normal their variances are
#
# $$ \text{pathwise: } 4 \sigma^2, \qquad \text{score: } \mu^4/\sigma^2 + 14 \mu^2 + 15 \sigma^2. $$

# %%
mu, draws = 1.0, 2000 if SMOKE else 200_000
sigmas = torch.logspace(-1.5, 0.5, 9)
epsilon = torch.randn(draws, 1)
z = mu + sigmas * epsilon
estimates = {"score function": z.square() * epsilon / sigmas, "pathwise": 2 * z}
variances = {
    "score function": mu**4 / sigmas**2 + 14 * mu**2 + 15 * sigmas**2,
    "pathwise": 4 * sigmas**2,
}
print("sigma:           " + "".join(f"{s:9.3f}" for s in sigmas[::2]))
for name, found in estimates.items():
    errors = (found.mean(0) - 2 * mu) / (found.std(0) / draws**0.5)
    ratio = found.var(0) / variances[name]
    print(f"{name}: means are off by {errors.abs().max():.1f} standard errors at most")
    print("  variance       " + "".join(f"{v:9.3f}" for v in found.var(0)[::2]))
    print("  by the formula " + "".join(f"{v:9.3f}" for v in variances[name][::2]))
    assert errors.abs().max() < 5  # 9 means, of which each errs so once in a million
    # A sample variance has relative error (k / n)^½, where k, the fourth moment by the squared
    # second, is at most some 46 here: that of the cube of a normal, 10395 / 15².
    assert SMOKE or (ratio - 1).abs().max() < 6 * (46 / draws) ** 0.5

# %% [markdown]
# As $\sigma$ falls, which is the direction of training (a guide begins broad and becomes sure of
# its $z$), the pathwise gradient becomes exact. The score function's noise grows without limit, as
# $\mu^4/\sigma^2 = (f/\sigma)^2$: it multiplies the *value* of $f$ by a score of size $1/\sigma$,
# and finds the slope only by comparing values. Add a constant to $f$, which changes no gradient:
# the pathwise draw does not see it, and the score function's variance grows with the constant's
# square.
#
# That last fault can be mended. Since $\mathbb E[\nabla \log q] = 0$, any number that does not
# depend on the sample may be subtracted from $f$, a **baseline**. With several samples of one $z$
# the mean of $f$ over the *others* is a good one, `leave-one-out`. What remains is a matter of
# dimension: one number $f$, to which all of $z_1, \ldots, z_d$ contribute, is multiplied by the
# score of each. So let us take $f(z) = \sum_i z_i^2$ in $d$ dimensions, and four samples for each
# estimate.

# %%
dimensions, samples, sigma = [1, 2, 4, 8, 16, 32, 64], 4, 0.3
by_dimension = {"score function": [], "leave-one-out": [], "pathwise": []}
for d in dimensions:
    epsilon = torch.randn(100 if SMOKE else 4000, samples, d)
    z = mu + sigma * epsilon
    f = z.square().sum(-1, keepdim=True)
    others = (f.sum(1, keepdim=True) - f) / (samples - 1)
    found = {
        "score function": f * epsilon / sigma,
        "leave-one-out": (f - others) * epsilon / sigma,
        "pathwise": 2 * z,
    }
    for name, draw in found.items():
        by_dimension[name].append(draw.mean(1).var(0).mean().item())

print("dimensions     " + "".join(f"{d:10d}" for d in dimensions))
for name, values in by_dimension.items():
    print(f"{name:15s}" + "".join(f"{v:10.3g}" for v in values))
growth = {name: values[-1] / values[-3] for name, values in by_dimension.items()}
print("four times the dimensions: " + ", ".join(f"{n} × {g:.1f}" for n, g in growth.items()))
assert SMOKE or growth["score function"] > 10  # 16: f and its square grow with d
assert SMOKE or 3 < growth["leave-one-out"] < 5  # 4: what the other dimensions add to f
assert 0.8 < growth["pathwise"] < 1.25  # 1

# %% mystnb={"image": {"alt": "Left, variance against the scale of q: the score function's rises towards small scales, the pathwise one falls to zero. Right, variance against dimension: score function and leave-one-out rise, pathwise is flat"}}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for (name, found), colour in zip(estimates.items(), ("C0", "C2"), strict=True):
    left.loglog(sigmas, variances[name], color=colour, label=name)
    left.plot(sigmas, found.var(0), "o", color=colour)
left.set(xlabel=r"$\sigma$ of the guide", ylabel=r"variance of $\partial/\partial\mu$, one sample")
left.legend(frameon=False)
for name, values in by_dimension.items():
    right.loglog(dimensions, values, "o-", label=name)
right.set(xlabel="dimensions of $z$", ylabel=r"variance of $\partial/\partial\mu_i$, four samples")
_ = right.legend(frameon=False)

# %% [markdown]
# ## On an autoencoder, against the exact gradient
#
# Now a whole model and guide, those of [chapter 3](03_why_joint.py): eight measurements, two
# causes, everything linear and normal. The model is held at its optimum; the guide is to learn the
# posterior. The ELBO has a closed form, so autograd gives the true gradient in $\phi$, and every
# estimator can be held against it.

# %%
features, latent = 8, 2
generator = torch.Generator().manual_seed(1)
W = torch.linalg.qr(torch.randn(features, latent, generator=generator)).Q * torch.tensor([2.0, 1.5])
truth = data.LinearGaussian(W, mean=torch.zeros(features), sigma=1.0)
many = truth.sample(1000, generator=generator)
model = solutions.principal_components(many, latent).requires_grad_(False)
x = many[:50]


def guide_at(progress):
    """A guide on the line from a fresh one (0) to the exact posterior (1)."""
    torch.manual_seed(0)
    guide = linear.Guide(features, latent)
    at_zero, at_axes = (model.posterior(at) for at in (torch.zeros(features), torch.eye(features)))
    with torch.no_grad():
        guide.mean.weight.lerp_((at_axes.mean - at_zero.mean).T, progress)
        guide.mean.bias.lerp_(at_zero.mean, progress)
        guide.log_scale.lerp_(at_zero.variance.log() / 2, progress)
    return guide


def gap(guide):
    """log p(x) - ELBO = KL(q(z|x) || p(z|x)), mean over the examples, nats."""
    scale = guide.log_scale.exp().diag()
    q = dist.MultivariateNormal(guide.mean(x), scale_tril=scale, validate_args=False)
    return kl_divergence(q, model.posterior(x)).mean()


print(f"gap at the start {gap(guide_at(0.0)):.3f} nats, at the posterior {gap(guide_at(1.0)):.0e}")
print(explain(model, guide_at(0.0), x, objective=ELBO(kl="sampled")))

# %% [markdown]
# An objective takes the estimator by name. All get four samples for each example. The score
# function comes plain, less a `running-mean` of $f$ in earlier steps, and `leave-one-out`. Of the
# pathwise kind there are two: the plain one, and `stl`, *sticking the landing*, which we come to
# below.


# %%
def gradient(objective, guide):
    """One estimate of the gradient of the negative ELBO in phi, as one vector."""
    guide.zero_grad()
    with pyro.validation_enabled(False):  # the programs were checked above, and should be fast
        (objective.differentiable_loss(model, guide, x) / len(x)).backward()
    return torch.cat([p.grad.flatten() for p in guide.parameters()])


repeats = 3 if SMOKE else 100
estimators = ["score", "running-mean", "leave-one-out", "pathwise", "stl"]
way = [0.0, 0.4, 0.7, 0.9, 1.0]
noise = {name: [] for name in estimators}
errors = []
for progress in way:
    guide = guide_at(progress)
    true = torch.cat([g.flatten() for g in torch.autograd.grad(gap(guide), guide.parameters())])
    for name in estimators:
        objective = ELBO(kl="sampled", particles=4, estimator=name)
        gradient(objective, guide)  # so that the running mean has something to begin with
        found = torch.stack([gradient(objective, guide) for _ in range(repeats)])
        noise[name].append(found.var(0).sum().item())
        errors.append((found.mean(0) - true).abs() / (found.std(0) / repeats**0.5 + 1e-9))

print("total variance of the gradient, on the way from the start to the posterior")
print("way            " + "".join(f"{p:9.2f}" for p in way))
for name in estimators:
    print(f"{name:15s}" + "".join(f"{v:9.2g}" for v in noise[name]))
errors = torch.cat(errors)
print(f"root mean square of the errors of {len(errors)} means: {errors.square().mean() ** 0.5:.2f} "
      "standard errors")  # fmt: skip
# Unbiased: about 1. The means at one point come from the same draws, hence the wide margin.
assert SMOKE or 0.6 < errors[errors > 0].square().mean() ** 0.5 < 1.4
assert SMOKE or noise["score"][0] > 10 * noise["pathwise"][0]
assert SMOKE or noise["leave-one-out"][0] > 3 * noise["pathwise"][0]
assert max(noise["stl"][-1], noise["leave-one-out"][-1]) < 1e-20  # at the posterior: rounding
assert noise["pathwise"][-1] > 0.1

# %% [markdown]
# No estimator has a bias, and at the start the pathwise ones are far better. Near the posterior
# there is a surprise: `stl` *and* `leave-one-out` lose their noise altogether. There
# $f = \log p(x, z) - \log q(z)$ is the constant $\log p(x)$, whatever is drawn; so the other
# samples predict it perfectly, and nothing is left of $f$ to be multiplied by a score. A running
# mean over all examples does not know $\log p(x)$ of *this* one.
#
# ## What noise costs: the learning rate
#
# Near an optimum the bound is a quadratic with curvatures $h_i$, and a step of size $\eta$ along a
# gradient with noise of variance $v_i$ makes of a distance $\delta_i$
#
# $$ \delta_i \leftarrow (1 - \eta h_i)\, \delta_i - \eta\, \xi_i. $$
#
# The mean stays bounded if $\eta h_i < 2$: that much learning rate the *exact* gradient allows.
# With noise the distance never becomes zero. Its variance settles where both sides agree, and the
# gap that stays is
#
# $$ \sum_i \tfrac12 h_i\, \mathbb E\,\delta_i^2 = \sum_i \frac{\eta\, v_i}{2 (2 - \eta h_i)}
#    \;\approx\; \frac{\eta}{4}\, \sum_i v_i \qquad (\eta h_i \ll 2). $$
#
# Learning rate times variance: an estimator with a hundred times the variance needs a hundredth of
# the learning rate to come as close, and so a hundred times the steps. Does it hold? Begin *at*
# the posterior, and see how far plain stochastic gradient descent strays.


# %%
def train(estimator, lr, steps, begin):
    """The gap before and after each step; ends early where it has run away."""
    guide, objective = guide_at(begin), ELBO(kl="sampled", particles=4, estimator=estimator)
    optimiser = torch.optim.SGD(guide.parameters(), lr)
    torch.manual_seed(0)
    gaps = [gap(guide).item()]
    while len(gaps) <= steps and gaps[-1] < 100:
        gradient(objective, guide)
        optimiser.step()
        gaps.append(gap(guide).item())
    return torch.tensor(gaps)


lr, steps = 1e-2, 5 if SMOKE else 250
strays = {name: train(name, lr, steps, begin=1.0) for name in estimators}
print("gap that stays   predicted       seen")
for name, gaps in strays.items():
    seen, predicted = gaps[-150:].mean(), lr / 4 * noise[name][-1]
    print(f"{name:15s} {predicted:10.2g} {seen:10.2g}")
    if predicted < 1e-20:
        assert seen.abs() < 1e-12  # it never leaves
    else:
        assert SMOKE or 0.5 < seen / predicted < 2  # one short run strays so, by a half or so

# %% [markdown]
# And from the start, with five learning rates. Small ones do not arrive in the time, large ones
# are limited by noise, and at some rate the noise throws the guide out faster than the gradient
# pulls it in.

# %%
rates = [1e-3, 3e-3, 1e-2, 3e-2, 6e-2]
steps = 3 if SMOKE else 150
final = {}
print("gap after training, at learning rate")
print("               " + "".join(f"{lr:9g}" for lr in rates))
for name in ("score", "leave-one-out", "pathwise", "stl"):
    runs = [train(name, lr, steps, begin=0.0) for lr in rates]
    # A run that ended early has run away.
    final[name] = torch.tensor([g[-20:].mean() if len(g) > steps else math.inf for g in runs])
    print(f"{name:15s}" + "".join(f"{g.clamp(min=0):9.2g}" for g in final[name]))

stable = {n: max(r for r, g in zip(rates, v, strict=True) if g < 100) for n, v in final.items()}
print(f"largest rate that did not run away: {stable}")
assert SMOKE or stable["pathwise"] > 3 * stable["score"]
assert SMOKE or final["score"].min() > 10 * final["pathwise"].min()

# %% tags=["thumbnail"] mystnb={"image": {"alt": "Left, gap against step from the posterior: plain score function strays to the highest level, running mean lower, pathwise lowest, each to its predicted line. Right, gap after training against learning rate: the score function is worse at every rate and runs away first"}}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
colours = dict(zip(estimators, ("C0", "C4", "C1", "C2", "C3"), strict=True))
for name in ("score", "running-mean", "pathwise"):
    left.semilogy(strays[name][1:], color=colours[name], label=name)
    left.axhline(lr / 4 * noise[name][-1], color=colours[name], ls=":")
left.plot([], [], "k:", label=r"predicted, $\eta \sum_i v_i / 4$")
left.set(xlabel="steps from the posterior", ylabel="gap, nats", ylim=(1e-5, None))
left.set_title("leave-one-out and stl stay at 0", fontsize=10)
left.legend(frameon=False, loc="lower right", fontsize=8)
top = 10.0
for name, values in final.items():
    ran_away = values == math.inf
    shown = values.clamp(min=1e-6, max=top)
    right.loglog(rates, shown, "o-", color=colours[name], label=name)
    right.plot(torch.tensor(rates)[ran_away], shown[ran_away], "x", ms=10, color=colours[name])
right.plot([], [], "kx", label="ran away")
right.set(xlabel=r"learning rate $\eta$", ylabel="gap after training, nats")
right.set_title("less than a millionth is drawn as a millionth", fontsize=10)
_ = right.legend(frameon=False, fontsize=8)

# %% [markdown]
# So this is how the trick bears on stability. It does not remove bias, there was none. It makes
# one draw resemble the mean: by using the slope of $f$ and not only its value, it is blind to the
# size of $f$, hardly minds how many other dimensions there are, and becomes quieter as the guide
# becomes sharper. Less noise is more learning rate before the noise takes over, and a closer
# approach at the same rate. A VAE has dozens of causes, hundreds of pixels that add up to a large
# $f$, and one sample for each image: each of these makes the ratio of the two larger than here.
#
# Leave-one-out, which has no path, ends below the plain pathwise gradient here. Two causes, and a
# family that contains the posterior, are kind to it: near the posterior its baseline is perfect.
# The right half of the first picture says what becomes of it in more dimensions.
#
# What it does *not* do: it leaves the limit $\eta h < 2$ of the exact gradient where it is. What
# divergence remains is mostly a matter of curvature; there clipping, a smaller rate or a
# better-scaled network help, and more samples do not.
#
# ## Where there is no trick
#
# A discrete $z$ has no path: a small change of $\phi$ changes no sample at all, or all of a
# sudden. Here the cause of a digit is one of ten classes, and each class has a fixed picture, the
# mean of its training images. The guide is a linear classifier, which is not told the classes.

# %%
digits = data.load("digits").flatten().binarized()
labels = digits.labels["train"]
pictures = torch.stack([digits.train[labels == k].mean(0) for k in range(10)]).double()
pictures = pictures.clamp(0.02, 0.98)
images = digits.test[:64].double()
torch.manual_seed(0)
encoder = torch.nn.Linear(64, 10)


def class_model(x):
    with pyro.plate("data", len(x)):
        c = pyro.sample("c", dist.OneHotCategorical(torch.ones(10) / 10))
        pyro.sample("x", dist.Bernoulli(c @ pictures).to_event(1), obs=x)


def class_guide(x):
    pyro.module("encoder", encoder)
    with pyro.plate("data", len(x)):
        pyro.sample("c", dist.OneHotCategorical(logits=encoder(x)))


try:
    ELBO(estimator="pathwise").loss(class_model, class_guide, images)
except ProgramError as error:
    print(error)

# %% [markdown]
# What there is: the score function, with baselines; and, since ten is few, the exact sum over the
# classes, `enumerate`, which has no noise at all and tells us the true gradient.


# %%
def class_gradient(objective):
    encoder.zero_grad()
    with pyro.validation_enabled(False):
        (objective.differentiable_loss(class_model, class_guide, images) / len(images)).backward()
    return torch.cat([p.grad.flatten() for p in encoder.parameters()])


true = class_gradient(ELBO(estimator="enumerate"))
print(f"squared norm of the true gradient {true.square().sum():.2g}; variances of one estimate:")
discrete = {}
for name in ("score", "running-mean", "leave-one-out"):
    objective = ELBO(particles=4, estimator=name)
    class_gradient(objective)
    found = torch.stack([class_gradient(objective) for _ in range(repeats)])
    discrete[name] = found.var(0).sum().item()
    off = (found.mean(0) - true).norm() / (discrete[name] / repeats) ** 0.5
    print(f"  {name:15s}{discrete[name]:9.2g}; the mean is {off:.1f} standard errors off")
    # The squared distance of an unbiased mean is 1 on average in these units.
    assert SMOKE or off < 2
assert SMOKE or discrete["score"] > 5 * max(discrete["running-mean"], discrete["leave-one-out"])

# %% [markdown]
# Any baseline is far better than none, and a baseline is as good as it predicts $f$ for *this*
# image. Leave-one-out needs several samples of each; where only one can be had, a network that
# learns to predict $f$ from $x$ (`"learned"`) takes its place.
# [Chapter 11](11_when_gradients_do_not_flow.py) goes on from here: many discrete causes,
# relaxations that trade the noise for a bias, and where each of them ends.
#
# ## Sticking the landing
#
# Why is the plain pathwise gradient noisy at the posterior, where the bound has no noise at all?
# Write out the derivative of $f_\phi(z) = \log p(x, z) - \log q_\phi(z)$ along
# $z = g_\phi(\varepsilon)$. It has two parts, one through $z$ and one through the parameters of
# $\log q_\phi$ itself:
#
# $$ \underbrace{\nabla_z \big[\log p(x, z) - \log q_\phi(z)\big]\, \nabla_\phi g_\phi(\varepsilon)}_{\text{path}}
#    \;\;-\;\; \underbrace{\nabla_\phi \log q_\phi(z)}_{\text{score}}. $$
#
# The score has mean zero, so it contributes nothing but noise. At the posterior the bracket is the
# gradient of a constant: the path's part is exactly zero, for every draw, and the score's is all
# that is left. Sticking the landing leaves the score out. Here it is one word at a site, or one
# for all sites:
#
# ```python
# pyro.sample("z", q, infer={"estimator": "stl"})     # at this site
# fit(model, guide, x, objective=ELBO(estimator="stl"))
# ```
#
# It is not always the better choice: the score can also *cancel* noise of the path, far from the
# posterior or where the guide's family does not contain it.

# %% mystnb={"image": {"alt": "Total variance of the gradient on the way from start to posterior: score function high and flat, running mean below, leave-one-out and stl falling steeply to zero, pathwise low and flat"}}
figure, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
for name, values in noise.items():
    ax.semilogy(way, values, "o-", color=colours[name], label=name)
ax.set(xlabel="way from the start (0) to the posterior (1)", ylim=(1e-3, None))
ax.set_ylabel("total variance of $\\nabla_\\phi$")
_ = ax.legend(frameon=False, fontsize=8, loc="lower left")

# %% [markdown]
# ## Exercises
#
# 1. Derive the two variances for $f(z) = z^2$. Add a constant $c$ to $f$ and derive the score
#    function's again. For which $c$ is it smallest?
# 2. For $f(z) = |z|$ and for $f(z) = \mathbb 1[z > 0]$: which of the two estimators is unbiased?
#    Try it.
# 3. Show for $q$ near the posterior that both `stl` and `leave-one-out` have variances of second
#    order in the distance.
# 4. Predict the gap that stays from the full formula, not its limit for small $\eta h_i$: take the
#    curvatures from `torch.autograd.functional.hessian` and the covariance from the draws. Up to
#    which rate is it right?
# 5. Replace stochastic gradient descent by Adam in `train`. Which of the results stay, and which
#    learning rates are now comparable between estimators?
#
# ## Sources
#
# Williams 1992, *Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement
# Learning*; Kingma and Welling 2014, *Auto-Encoding Variational Bayes*; Rezende, Mohamed and
# Wierstra 2014, *Stochastic Backpropagation and Approximate Inference in Deep Generative Models*;
# Ranganath, Gerrish and Blei 2014, *Black Box Variational Inference*; Mnih and Gregor 2014,
# *Neural Variational Inference and Learning in Belief Networks*; Mohamed, Rosca, Figurnov and Mnih
# 2020, *Monte Carlo Gradient Estimation in Machine Learning*; Kool, van Hoof and Welling 2019,
# *Buy 4 REINFORCE Samples, Get a Baseline for Free!*; Roeder, Wu and Duvenaud 2017, *Sticking the
# Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference*; Robbins and Monro
# 1951, *A Stochastic Approximation Method*.
