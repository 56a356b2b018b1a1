# %% [markdown]
# # 14. Hierarchies
#
# Causes have causes. A hierarchy says so: $z_L$ at the top, each layer given the one above it, the data
# at the bottom,
#
# $$ p(x, z_1, \ldots, z_L) = p(z_L) \prod_{l<L} p(z_l \mid z_{l+1})\; p(x \mid z_1). $$
#
# It is the obvious next step after the VAE, and for years it did not work: with more than two layers, the
# upper ones died. This chapter asks why, in a hierarchy where all is known, and then gets five layers
# to live.
#
# You will see
#
# 1. that the evidence may not care for the upper layers at all, and any flaw of the guide does,
# 2. what the KL of a layer means, and when it means nothing,
# 3. guides from the bottom up and from the top down, and a stream that all layers write to,
# 4. a schedule that keeps five layers alive, and what they are worth.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import itertools
import warnings

import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch

from pyro_vae import ELBO, data, evaluation, fit, likelihoods, plots, posteriors, priors, terms
from pyro_vae.networks import MLP
from pyro_vae.objectives import FreeBits, SiteBetaELBO
from pyro_vae.programs import hierarchical, residual
from pyro_vae.schedules import Linear
from pyro_vae.training import CollapseWarning

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

# %% [markdown]
# ## Two layers of which everything is known
#
# One number in each layer, all normal:
#
# $$ z_2 \sim \mathcal N(0, 1), \qquad z_1 \mid z_2 \sim \mathcal N(a z_2,\, 1 - a^2), \qquad
#    x \mid z_1 \sim \mathcal N(w z_1, \sigma^2 I). $$
#
# The weight $a$ says how much the top layer matters: at $a = 0$ not at all, near one it decides all. Both
# orders of inference are exact here: from the bottom up, $q(z_1 \mid x)\, q(z_2 \mid z_1)$, and from the top down,
# $q(z_2 \mid x)\, q(z_1 \mid z_2, x)$. Bayes' rule for normals gives the four factors.

# %%
w, sigma = torch.tensor([1.0, -0.5, 0.8]), 0.5
precision = float(w.square().sum()) / sigma**2  # what x says of z1


def hierarchy(a):
    def model(x):
        with pyro.plate("data", len(x)):
            z2 = pyro.sample("z2", dist.Normal(0.0, 1.0))
            z1 = pyro.sample("z1", dist.Normal(a * z2, (1 - a**2) ** 0.5))
            pyro.sample("x", dist.Normal(z1[..., None] * w, sigma).to_event(1), obs=x)

    return model


def bottom_up(a):
    def guide(x):
        with pyro.plate("data", len(x)):
            variance = 1 / (1 + precision)  # z1 itself is N(0, 1), whatever a is
            mean = variance * (x @ w) / sigma**2
            z1 = pyro.sample("z1", dist.Normal(mean, variance**0.5))
            pyro.sample("z2", dist.Normal(a * z1, (1 - a**2) ** 0.5))

    return guide


def top_down(a):
    def guide(x):
        with pyro.plate("data", len(x)):
            wide = 1 - a**2 + 1 / precision  # of (x's message about z1) - a z2
            message = (x @ w) / sigma**2 / precision
            variance = 1 / (1 + a**2 / wide)
            z2 = pyro.sample("z2", dist.Normal(variance * a * message / wide, variance**0.5))
            variance = 1 / (1 / (1 - a**2) + precision)
            mean = variance * (a * z2 / (1 - a**2) + precision * message)
            pyro.sample("z1", dist.Normal(mean, variance**0.5))

    return guide


evidence = dist.LowRankMultivariateNormal(torch.zeros(3), w[:, None], torch.full((3,), sigma**2))
x = evidence.sample((200,))
log_evidence = evidence.log_prob(x)
for a in (0.0, 0.5, 0.9):
    for guide in (bottom_up, top_down):
        log_weights = terms.site_terms(hierarchy(a), guide(a), x, particles=3).log_weights
        assert (log_weights - log_evidence).abs().max() < 1e-9
print("every importance weight is p(x), for both guides and every a")

# %% [markdown]
# Look at the last line once more: *for every a*. Marginally $z_1 \sim \mathcal N(0, 1)$ whatever $a$ is, so $p(x)$
# does not contain $a$ at all. A top layer of normals above normals buys nothing. The data do not ask for
# it, and only the way that the KL is split depends on it.

# %%
grid = torch.linspace(0, 0.95, 20)
particles = 2 if SMOKE else 50
split = [evaluation.kl_per_site(hierarchy(a), top_down(a), x, particles=particles) for a in grid]
kl2 = torch.stack([kl["z2"].mean() for kl in split])
kl1 = torch.stack([kl["z1"].mean() for kl in split])
total = kl1 + kl2
print(f"KL of z1 and z2 together: {total.min():.3f} to {total.max():.3f} nats")
print(f"of which z2 takes {kl2[0]:.3f} at a = 0 and {kl2[-1]:.3f} at a = {grid[-1]:.2f}")
assert SMOKE or total.max() - total.min() < 0.05  # of 50 draws for each of 200 examples
assert kl2[0] < 1e-12 and kl2[-1] > 0.5 * total[-1]

# %% [markdown]
# ## What kills the top
#
# So the evidence is flat in $a$. The *bound* is not, as soon as the guide is less than exact. Let the
# guide treat the two layers as independent, $q(z_1 \mid x)\, q(z_2 \mid x)$. The best such normals have the
# diagonal of the posterior's precision $\Lambda$, and fall short of the evidence by
#
# $$ \mathrm{KL}(q \,\|\, p) = \tfrac12 \log \frac{\Lambda_{11} \Lambda_{22}}{\det \Lambda}, \qquad
#    \Lambda_{11} = \tfrac{1}{1-a^2} + \tfrac{\lVert w \rVert^2}{\sigma^2}, \quad
#    \Lambda_{22} = 1 + \tfrac{a^2}{1-a^2}, \quad \Lambda_{12} = -\tfrac{a}{1-a^2}. $$

# %%
noise = 1 - grid**2
L11, L22, L12 = 1 / noise + precision, 1 + grid**2 / noise, -grid / noise
price = 0.5 * (L11 * L22 / (L11 * L22 - L12**2)).log()
assert price[0] == 0 and (price.diff() > 0).all()

# %% mystnb={"image": {"alt": "Left: the KL of the two layers stacked against a; the sum is constant and the top's share grows. Right: log evidence is flat in a, the bound of an independent guide falls"}}
figure, (left, right) = plt.subplots(1, 2, figsize=(8.5, 3.2), layout="constrained")
left.stackplot(grid, kl1, kl2, labels=["$z_1$", "$z_2$"], alpha=0.8)
left.set(xlabel="$a$, what the top layer decides", ylabel="KL, nats", xlim=(0, 0.95))
left.legend(frameon=False, loc="lower left")
right.plot(grid, log_evidence.mean() - 0 * grid, "k", label="log p(x)")
right.plot(grid, log_evidence.mean() - price, label="ELBO, independent layers")
right.set(xlabel="$a$", ylabel="nats per example")
_ = right.legend(frameon=False, loc="lower left")

# %% [markdown]
# The price is zero at $a = 0$ and rises from there. Nothing in the evidence pays it. So gradient ascent
# switches the top off: not by an accident of optimisation, but because that *is* the optimum of this
# bound. Early in training every guide is a poor one, and each layer above adds noise for which it must pay
# at once, while its use would come later. There is a second lock on the door: at $a = 0$ with $q(z_2) = p(z_2)$
# the gradient in $a$ is $\mathbb E[z_1 z_2] = 0$. A dead layer stays dead.
#
# A top layer earns its keep only where $p(z_1)$ should be something that one normal is not, and where the
# decoder cannot do the same by itself. With a strong decoder there is little left for it.
#
# ## A KL of a layer, or not
#
# From the top down, each term is a KL: $q(z_l \mid z_{l+1}, x)$ against $p(z_l \mid z_{l+1})$ at the same $z_{l+1}$. From
# the bottom up the guide draws $z_2$ *from* $z_1$, and the term of $z_1$ compares $q(z_1 \mid x)$ with a prior whose
# parent was inferred from $z_1$ itself. Only the sum is a KL; a single term may be negative, and the
# closed form of $z_1$'s is wrong there ([chapter 5](05_two_elbos.py)).

# %%
for name, guide in (("top down", top_down), ("bottom up", bottom_up)):
    kl = evaluation.kl_per_site(hierarchy(0.95), guide(0.95), x, particles=50)
    print(f"{name:9s}: z1 {kl['z1'].mean():6.2f}, z2 {kl['z2'].mean():5.2f}, "
          f"together {(kl['z1'] + kl['z2']).mean():.2f} nats")  # fmt: skip
    assert (kl["z1"].mean() < 0) == (name == "bottom up")

# %% [markdown]
# ## Five layers of digits
#
# Now five layers with networks, for binarised digits, in a short run. Three ways to build them:
#
# - **bottom up**: the guide climbs, $q(z_1 \mid x)\, q(z_2 \mid z_1) \cdots$; what the top learns has passed four noisy
#   samples;
# - **ladder**: a deterministic path climbs, then the guide descends *with the model's own layers*, and
#   multiplies what the model expects by what the data say;
# - **residual stream**: also top down, and every layer adds its latent to a stream that ends in the
#   decoder. So each layer has a short way to the data.

# %%
torch.set_default_dtype(torch.float32)
warnings.simplefilter(
    "ignore", CollapseWarning
)  # `fit` warns of layers that die: they are the subject
digits = data.load("digits").flatten().binarized()
if SMOKE:
    digits = digits.subset(128)
sizes = [8, 6, 4, 3, 2]  # of z1 to z5
width = 32
names = [f"z{number}" for number in range(1, 6)]


def normal(inputs, size, hidden=(width,)):
    return posteriors.DiagonalNormal(MLP(inputs, 2 * size, hidden))


def chain():
    layers = [normal(above, size) for size, above in itertools.pairwise(sizes)]
    decoder = MLP(sizes[0], 64, [width])
    return hierarchical.Model(
        priors.StandardNormal(sizes[-1]), layers, likelihoods.Bernoulli(decoder)
    )


def with_bottom_up():
    inputs = [64, *sizes[:-1]]
    return chain(), hierarchical.Guide([normal(i, o) for i, o in zip(inputs, sizes, strict=True)])


def with_ladder():
    model = chain()
    up = [MLP(64, 64, [64]) for _ in sizes]
    return model, hierarchical.LadderGuide(up, [normal(64, s, []) for s in sizes], model.layers)


def with_stream(latent=4, stream=48):
    down = residual.Stream(5, latent, stream, hidden=[width])
    model = residual.Model(down, likelihoods.Bernoulli(MLP(stream, 64, [width])))
    encoder = MLP(64, stream, [64])
    return model, residual.Guide(down, encoder, [normal(2 * stream, latent) for _ in range(5)])


# %% [markdown]
# And two ways to train beside the plain bound. *Layer-wise warm-up* gives the KL of each layer a weight that rises from zero to
# one, for the upper layers more slowly: they are let in first and charged for last. *Free nats that fall*
# (free bits, as in [chapter 7](07_posterior_collapse.py)) grant every layer so many nats for nothing, many at
# first and few at last. While a layer is below its
# allowance, using it costs nothing and gains what it can; so every layer learns to say *something*
# before it is asked to pay.

# %%
epochs = 1 if SMOKE else 40
steps = epochs * -(-len(digits.train) // 128)
layer_wise = {name: Linear(max(1, steps * 3 * level // 25)) for level, name in enumerate(names, 1)}
falling = Linear(max(1, steps * 4 // 5), start=1.5, stop=0.1)
contestants = {
    "bottom up": (with_bottom_up, ELBO()),
    "ladder": (with_ladder, ELBO()),
    "stream": (with_stream, ELBO()),
    "stream, layer-wise warm-up": (with_stream, SiteBetaELBO(layer_wise)),
    "stream, free nats that fall": (with_stream, FreeBits(falling, per="site")),
}


def explained(model, guide, x):
    """What part of the pixels' variance is known from the top layer, the top two, and so on."""
    parts, spread = [], (x - x.mean(0)).square().sum()
    for kept in range(1, 6):
        draws = evaluation.redraw(model, guide, x, keep=names[::-1][:kept], draws=8)
        parts.append(1 - float((x - draws.mean(0)).square().sum() / spread))
    return parts


layers, known, nll = {}, {}, {}
for name, (make, objective) in contestants.items():
    torch.manual_seed(0)
    model, guide = make()
    fit(model, guide, digits.train, transform=digits.transform, objective=objective, epochs=epochs,
        lr=3e-3, progress=False)  # fmt: skip
    kl = evaluation.kl_per_site(model, guide, digits.test)
    layers[name] = [float(kl[site].mean()) for site in names]
    known[name] = explained(model, guide, digits.test)
    nll[name] = -evaluation.log_evidence(
        model, guide, digits.test, particles=5 if SMOKE else 100
    ).mean
    shown = "  ".join(f"{value:5.2f}" for value in layers[name])
    print(f"{name:28s} KL of z1 … z5: {shown}   NLL {nll[name]:.2f}")

# %% tags=["thumbnail"] mystnb={"image": {"alt": "Left: bars of the KL of each of five layers for five ways to build and train; only falling free nats fill all five. Right: the part of the pixels' variance that is known from the top layers, against how many are kept"}}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for number, (name, values) in enumerate(layers.items()):
    place = [level + 0.16 * (number - 2) for level in range(1, 6)]
    left.bar(place, values, width=0.16, label=name)
    right.plot(range(1, 6), known[name], "o-", label=name)
left.axhline(0, color="k", lw=0.8)
left.set(xlabel="layer, from the data up", ylabel="its part of the KL, nats", xticks=range(1, 6))
right.set(xlabel="layers kept, from the top", ylabel="part of the variance of pixels known")
right.set(xticks=range(1, 6))
_ = left.legend(frameon=False, fontsize=8)

# %% [markdown]
# The chain's layers die in this budget, whichever way the guide walks; the plain bound pulls them down
# before they have said anything. A stream by itself keeps one, the top one, from which all others are
# within reach. Layer-wise warm-up fills that layer further, and the likelihood gains by it; but one layer
# still does the work of all. With falling free nats all five carry something, and each layer kept makes
# more of the image known.

# %%
alive = {name: sum(value > 0.2 for value in values) for name, values in layers.items()}
for name, count in alive.items():
    print(f"{name:28s} {count} of 5 layers above a fifth of a nat")
assert SMOKE or alive["stream, free nats that fall"] == 5
assert SMOKE or max(count for name, count in alive.items() if "nats" not in name) <= 3
rising = known["stream, free nats that fall"]
assert SMOKE or all(later > sooner for sooner, later in itertools.pairwise(rising))
scheduled = [nll["stream, layer-wise warm-up"], nll["stream, free nats that fall"]]
assert SMOKE or max(scheduled) < min(nll["bottom up"], nll["ladder"], nll["stream"]) - 0.4

# %% [markdown]
# What does each of them decide? Keep the upper layers as inferred, draw those below from the model, and
# look at the mean image: what stays is what the kept layers know.

# %% mystnb={"image": {"alt": "Rows of digits: the data, then what the top layer knows, the top two, up to all five; the images become sharper from row to row"}}
few = digits.test[:12]
rows = [few] + [
    evaluation.redraw(model, guide, few, keep=names[::-1][:kept], draws=16).mean(0)
    for kept in range(1, 6)
]
_ = plots.images(
    torch.cat(rows), columns=12, title="data; then $z_5$ known, $z_5 z_4$, …, all five"
)

# %% [markdown]
# ## Alive is not the same as needed
#
# Compare the two schedules once more. Five live layers have no better likelihood than one that does most
# of the work:

# %%
one, five = nll["stream, layer-wise warm-up"], nll["stream, free nats that fall"]
print(f"NLL with most in one layer {one:.2f}, in five {five:.2f} nats")
assert SMOKE or abs(one - five) < 1

# %% [markdown]
# That is the first half of this chapter over again: where one layer and a good decoder can write $p(x)$,
# the evidence is flat in how the work is shared. A strategy for training can decide *which* of the equally
# good answers is found; it makes none of them better. Depth pays on data with structure at many scales,
# such as large natural images, and there the same two ingredients are what the deep models use: a short
# way from every layer to the data, and a guide that walks with the model.
#
# A recipe, then, for a hierarchy that is to use its layers:
#
# 1. a top-down guide that shares the model's layers, so that each layer's term is a KL and can be looked at;
# 2. a path from every layer to the data (a stream), so that no layer depends on the luck of another;
# 3. free nats for every layer, falling until little is left, or warm-up with the top charged last;
# 4. then look: `kl_per_site`, and `redraw` with ever more layers kept;
# 5. and compare the evidence with that of fewer layers. If it is the same, take fewer.
#
# ## Exercises
#
# 1. Derive the optimal independent guide of two correlated normals, and the formula for its gap.
# 2. Show that at $a = 0$ and $q(z_2) = p(z_2)$ the gradient of the ELBO vanishes in both. Is the point a maximum, a
#    saddle, or flat? Use that $p(x)$ does not depend on $a$.
# 3. Let $z_2$ choose the sign of $z_1$'s mean, $z_1 \mid z_2 \sim \mathcal N(\mathrm{sign}(z_2)\, b, s^2)$. Now $p(x)$ depends on
#    $b$. Compute the evidence by a sum of two terms and find what the top layer is worth.
# 4. Let the free nats fall to zero. How many layers are alive right at the end, and after as many epochs again?
# 5. Give the ladder the falling free nats. Which of its layers make more of the image known, and which
#    only spend their allowance?
#
# ## Sources
#
# Burda, Grosse and Salakhutdinov 2016, *Importance Weighted Autoencoders* (layers from the bottom up);
# Sønderby, Raiko, Maaløe, Sønderby and Winther 2016, *Ladder Variational Autoencoders*; Kingma et al. 2016,
# *Improving Variational Inference with Inverse Autoregressive Flow* (free bits, the residual top-down
# network); Zhao, Song and Ermon 2017, *Learning Hierarchical Features from Generative Models* (what a chain
# can represent); Child 2021, *Very Deep VAEs Generalize Autoregressive Models and Can Outperform Them on
# Images*.
