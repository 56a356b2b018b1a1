# %% [markdown]
# # 21. From linear autoencoders to variational ones
#
# An autoencoder squeezes $x$ through a few numbers and asks to have it back. A variational autoencoder
# adds three things to that old idea: a probability, a nonlinear decoder, a nonlinear encoder. Which of
# them buys what? The way to find out is to add one at a time, starting where everything is
# known: with linear maps.
#
# All models of this chapter have $L$ latents and are trained on the same digits. From the moment on
# that there is a probability, they are judged by one number, the log-likelihood of digits held back.
#
# You will see
#
# 1. that a linear autoencoder finds the subspace of principal component analysis, and not its axes,
# 2. that one more assumption makes of it a density, whose likelihood has the same blind spot,
# 3. that a linear VAE reaches the maximum of that likelihood, and finds the axes,
# 4. what noise per pixel, a nonlinear decoder and a nonlinear encoder are worth, in nats.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import math

import matplotlib.pyplot as plt
import torch

from pyro_vae import data, evaluation, fit, plots, terms
from pyro_vae.likelihoods import Normal
from pyro_vae.networks import MLP
from pyro_vae.posteriors import DiagonalNormal
from pyro_vae.priors import StandardNormal
from pyro_vae.programs import linear, vae
from pyro_vae.programs.solutions import factor_analysis, principal_components

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)

# %% [markdown]
# The pixels have seventeen grey levels. A density can be infinite on values that repeat, so each level
# is spread evenly over its width; then all likelihoods below are likelihoods of the same thing.

# %%
digits = data.load("digits").flatten()


def spread(x, seed):
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(seed))
    return (16 * x.double() + noise) / 17


splits = (digits.train, digits.valid, digits.test)
train, valid, test = (spread(x, seed) for seed, x in enumerate(splits))
centre = train.mean(0)
x = train - centre
S = x.T @ x / len(x)  # the covariance
eigenvalues, axes = (t.flip(-1) for t in torch.linalg.eigh(S))  # the largest first
L = 5
print(f"{len(x)} digits of {x.shape[1]} pixels; {L} axes hold ", end="")
print(f"{eigenvalues[:L].sum() / eigenvalues.sum():.0%} of their variance")

# %% [markdown]
# ## The linear autoencoder
#
# An encoder matrix $V$ and a decoder matrix $W$, trained to give $x$ back:
#
# $$ \min_{V, W}\; \mathbb E \,\lVert x - W V x \rVert^2 . $$
#
# $W V$ has rank $L$, and the best matrix of rank $L$ is the projection on the $L$ leading eigenvectors
# of the covariance $S$; what is left over is $\sum_{i > L} \lambda_i$. But only the product matters. For
# any invertible $R$ the pair $(R^{-1} V,\, W R)$ is as good, so the columns of $W$ may be *any* basis of that
# subspace.


# %%
def maximise(parameters, value, steps):
    """Climb to the top by L-BFGS; the functions here are deterministic, so no need to sample."""
    parameters = list(parameters)
    search = torch.optim.LBFGS(
        parameters, max_iter=steps, history_size=30, tolerance_change=0, tolerance_grad=1e-10,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        search.zero_grad()
        loss = -value()
        loss.backward()
        return loss

    search.step(closure)
    return value().item()


pixels, identity = x.shape[1], torch.eye(x.shape[1])
V = (torch.randn(L, pixels) / 10).requires_grad_()
W = (torch.randn(pixels, L) / 10).requires_grad_()


def minus_error():
    """-E |x - W V x|² = -tr (I - WV) S (I - WV)^T, of all examples at once."""
    R = identity - W @ V
    return -(R @ S * R).sum()


error = -maximise([V, W], minus_error, steps=10 if SMOKE else 400)
least = eigenvalues[L:].sum()


def cosines(columns):
    """|cos| of the angle between each column and the leading axis that is closest to it."""
    directions = columns.detach() / columns.detach().norm(dim=0)
    return (directions.T @ axes[:, :L]).abs().amax(1)


basis = torch.linalg.qr(W.detach())[0]
same_space = torch.linalg.svdvals(basis.T @ axes[:, :L]).min()  # cosine of the largest angle
print(f"squared error {error:.6f}, sum of the other eigenvalues {least:.6f}")
print(f"the subspaces:    cosine of the largest angle between them {same_space:.6f}")
print("the columns of W: cosine to the nearest axis", *(f"{c:.2f}" for c in cosines(W)))
assert error >= least - 1e-9
assert SMOKE or (error - least < 1e-5 and same_space > 0.9999)
assert SMOKE or cosines(W).min() < 0.9

# %% [markdown]
# The subspace to all the digits shown, and the axes not at all. Nor is there any answer to the question how
# probable a digit is: the autoencoder is no model of $x$.
#
# ## Probabilistic principal component analysis
#
# One more assumption makes it one: the code is drawn from a normal, and what the decoder leaves over is
# noise, $x = W z + b + \varepsilon$ with $z \sim \mathcal N(0, I)$ and $\varepsilon \sim \mathcal N(0, \sigma^2 I)$. Then
#
# $$ p(x) = \mathcal N(b,\; W W^\top + \sigma^2 I), \qquad
#    p(z \mid x) = \mathcal N\big(M^{-1} W^\top (x - b),\; \sigma^2 M^{-1}\big), \quad M = W^\top W + \sigma^2 I, $$
#
# and the likelihood has its maximum where $\sigma^2$ is the mean of the discarded eigenvalues and
# $W = U_L (\Lambda_L - \sigma^2 I)^{1/2} R$, with any rotation $R$. Two things are worth checking. Encoding and decoding
# is no longer a projection: it *shrinks* each axis by $(\lambda_i - \sigma^2) / \lambda_i$, since an honest posterior
# knows that some of what it sees is noise. And the rotation is invisible.

# %%
solution = principal_components(train, L)
with torch.no_grad():
    W_best, noise = solution.W, (2 * solution.log_scale).exp()
    codes = solution.posterior(train).mean
    decoded = codes @ W_best.T
    shrink = (eigenvalues[:L] - noise) / eigenvalues[:L]
    expected = x @ axes[:, :L] * shrink @ axes[:, :L].T
    print("what an axis keeps of itself:", *(f"{share:.3f}" for share in shrink))
    assert (decoded - expected).abs().max() < 1e-10  # rounding

    rotation = torch.linalg.qr(torch.randn(L, L))[0]
    turned = data.LinearGaussian(W_best @ rotation, solution.b, noise.sqrt().item())
    likelihood = solution.evidence().log_prob(test)
    assert (turned.log_evidence(test) - likelihood).abs().max() < 1e-9
    print(f"log p(x) of held-out digits: {likelihood.mean():.3f} nats, turned or not")

# %% [markdown]
# ## The linear variational autoencoder
#
# Give the same model a guide as a VAE has it: $q(z \mid x) = \mathcal N(V (x - c), D)$ with $D = \operatorname{diag} \sigma_\phi^2$ **diagonal**. It
# can be exact only if the posterior's precision $M / \sigma^2$ is diagonal, which is to say, if the columns of
# $W$ are orthogonal. So the ELBO is not blind: among all the rotations that the likelihood cannot tell
# apart it prefers those that the guide can follow ([chapter 3](03_why_joint.py) has the size of the gap).
#
# Now train it. {py:class}`pyro_vae.programs.linear.Model` and {py:class}`pyro_vae.programs.linear.Guide` are the two
# programs. Here even the expectation in the ELBO has a closed form, and of all examples at once, through $S$:
#
# $$ \mathrm{ELBO} = -\tfrac{1}{2\sigma^2} \Big( \operatorname{tr}\big[(I - WV) S (I - WV)^\top\big] + \operatorname{tr}\big[W D W^\top\big] \Big)
#    - \tfrac{P}{2} \log 2 \pi \sigma^2 - \mathbb E\, \mathrm{KL}\big(q(z \mid x) \,\|\, p(z)\big) $$
#
# with $P$ pixels. The first term is the autoencoder's error, now in units of the noise. The second says that a
# wide code is hard to decode, and the last, that a narrow one is expensive.

# %%
torch.manual_seed(0)
model, guide = linear.Model(pixels, L), linear.Guide(pixels, L)
with torch.no_grad():  # the means have their best values from the start
    model.b.copy_(centre)
    guide.mean.bias.copy_(-guide.mean.weight @ centre)


def elbo():
    W, V = model.W, guide.mean.weight
    variance, D = (2 * model.log_scale).exp(), (2 * guide.log_scale).exp()
    R = identity - W @ V
    misfit = (R @ S * R).sum() + (W.square() @ D).sum()
    kl = ((V @ S * V).sum() + (D - 1 - D.log()).sum()) / 2
    return -(misfit / variance + pixels * (2 * math.pi * variance).log()) / 2 - kl


moving = [model.W, model.log_scale, guide.mean.weight, guide.log_scale]
reached = maximise(moving, elbo, steps=10 if SMOKE else 2000)
with torch.no_grad():
    guide.mean.bias.copy_(-guide.mean.weight @ centre)
    log_weights = terms.site_terms(model, guide, train, particles=5).log_weights
    per_example = log_weights.mean(0)
    evidence = model.evidence().log_prob(train).mean()
    best = solution.evidence().log_prob(train).mean()
sampling_error = log_weights.std(0).div(5**0.5).square().sum().sqrt() / len(train)
print(f"ELBO in closed form      {reached:.4f} nats")
print(f"ELBO of the programs     {per_example.mean():.4f} ± {sampling_error:.4f}")
print(f"evidence of this model   {evidence:.4f}")
print(f"greatest evidence (PCA)  {best:.4f}")
print("the columns of W: cosine to the nearest axis", *(f"{c:.3f}" for c in cosines(model.W)))
assert abs(per_example.mean() - reached) < 4 * sampling_error + 1e-9
assert reached <= evidence + 1e-9 and evidence <= best + 1e-9
assert SMOKE or best - reached < 0.01
assert SMOKE or cosines(model.W).min() > 0.95

# %% [markdown]
# It reaches the maximum of the likelihood, with a bound that is tight there, and it found the axes that
# neither the autoencoder nor the likelihood could see, by the guide's diagonal covariance alone. The
# preference is faint where two eigenvalues are alike, hence so many steps. (An axis with
# $\lambda_i < \sigma^2$ would get a column of zeros. That is the honest part of posterior collapse, and
# [chapter 7](07_posterior_collapse.py) is about it.)


# %% tags=["thumbnail"] mystnb={"image": {"alt": "Three rows of images: the leading eigenvectors of the digits, the decoder columns of a linear autoencoder, which are mixtures of them, and those of a linear VAE, which are the same as the eigenvectors"}}
def as_rows(columns):
    """Images of the columns, each next to the axis that it is closest to, with its sign."""
    columns = columns.detach() / columns.detach().norm(dim=0)
    likeness = columns.T @ axes[:, :L]
    order = likeness.abs().argmax(1).argsort(stable=True)
    signs = likeness.gather(1, likeness.abs().argmax(1, keepdim=True)).sign().T
    return (columns * signs)[:, order].T


grids = {"eigenvectors": axes[:, :L], "linear autoencoder": W, "linear VAE": model.W}
figure, rows = plt.subplots(3, 1, figsize=(7, 4.4), layout="constrained")
for ax, (name, columns) in zip(rows, grids.items(), strict=True):
    plots.images(
        as_rows(columns), columns=L, ax=ax, vmin=-0.35, vmax=0.35, cmap="cividis", title=name
    )

# %% [markdown]
# ## Noise of its own for each pixel
#
# $\sigma^2 I$ says that all pixels are equally noisy. Those in the corners never change, and those in
# the middle do. **Factor analysis** gives each pixel its own, $\Psi = \operatorname{diag}(\sigma_1^2, \ldots, \sigma_P^2)$. There is
# no closed form any more, but EM finds it, and everything said about guides holds with $W^\top \Psi^{-1} W$ in
# the place of $W^\top W$.

# %%
factors = factor_analysis(train, L, iterations=20 if SMOKE else 500)
held_out = {}
for name, solved in (("PCA", solution), ("factor analysis", factors)):
    held_out[name] = solved.evidence().log_prob(test).detach()
gain = held_out["factor analysis"] - held_out["PCA"]
error = gain.std() / len(gain) ** 0.5
for name, log_p in held_out.items():
    print(f"{name:16s} {log_p.mean():6.2f} nats per held-out digit")
print(f"the noise of each pixel is worth {gain.mean():.1f} ± {error:.1f} nats")
assert gain.mean() > 10 * error

# %% [markdown]
# ## Nonlinear maps
#
# From here on nothing is solved, all is trained: four VAEs with the same prior, the same noise per pixel
# and the same number of latents, with a linear or a nonlinear decoder and a linear or a nonlinear
# encoder. $\log p(x)$ of held-out digits is estimated with the guide as the proposal. Where the decoder is
# linear the exact value is known, so the estimate can be checked.

# %%
torch.set_default_dtype(torch.float32)
train, valid, test = train.float(), valid.float(), test.float()
widths = {"linear": [], "nonlinear": [128]}
models, log_p, elbos = {}, {}, {}
for decoder in widths:
    for encoder in widths:
        torch.manual_seed(0)
        network = MLP(L, pixels, widths[decoder])
        model = vae.Model(StandardNormal(L), Normal(network, scale="per-dimension", initial=0.2))
        guide = vae.Guide(DiagonalNormal(MLP(pixels, 2 * L, widths[encoder])))
        _ = fit(
            model, guide, train, validation=valid, epochs=2 if SMOKE else 100, lr=1e-2,
            compile=False, progress=False,
        )  # fmt: skip
        found = evaluation.log_evidence(model, guide, test, particles=20 if SMOKE else 1000)
        report = evaluation.evaluate(model, guide, test, particles=2, elbo_particles=4)
        models[decoder, encoder] = model
        log_p[decoder, encoder], elbos[decoder, encoder] = found.log_evidence, report.elbo

print("decoder    encoder    ELBO     log p(x), held out   gap")
for (decoder, encoder), values in log_p.items():
    bound, error = elbos[decoder, encoder], values.std() / len(values) ** 0.5
    print(f"{decoder:10s} {encoder:10s} {bound:6.2f}", end="   ")
    print(f"{values.mean():6.2f} ± {error:.2f}       {values.mean() - bound:.2f}")

# %% [markdown]
# First the control: with the linear decoder, what a network in the encoder can gain is bounded by factor
# analysis, whose posterior mean *is* linear in $x$. (What both are short of it is the doing of a short run
# of stochastic gradients, which see the flat directions last; exercise 3.)

# %%
train_best = factors.evidence().log_prob(train.double()).mean().item()
for encoder in widths:
    likelihood = models["linear", encoder].likelihood
    exact = linear.Model(pixels, L, noise="per-feature")
    with torch.no_grad():
        exact.W.copy_(likelihood.network.layers[0].weight)
        exact.b.copy_(likelihood.network.layers[0].bias)
        exact.log_scale.copy_(likelihood.log_scale)
        exact.double()  # the same numbers, in a precision in which determinants are safe
        known = exact.evidence().log_prob(test.double())
        on_train = exact.evidence().log_prob(train.double()).mean().item()
    off = (log_p["linear", encoder].double() - known).mean()
    print(
        f"{encoder:9s} encoder: estimate - exact log p(x) = {off:+.3f} nats; on the training set ",
        end="",
    )
    print(f"{on_train:.2f}, factor analysis {train_best:.2f}")
    assert SMOKE or abs(off) < 0.1
    assert SMOKE or on_train < train_best


def compare(one, other):
    """Mean difference in log p(x) of the same digits, and its standard error."""
    difference = log_p[one] - log_p[other]
    return difference.mean().item(), (difference.std() / len(difference) ** 0.5).item()


changes = {
    "the decoder, under a linear encoder": (("nonlinear", "linear"), ("linear", "linear")),
    "the decoder, under a nonlinear encoder": (("nonlinear", "nonlinear"), ("linear", "nonlinear")),
    "the encoder, beside a linear decoder": (("linear", "nonlinear"), ("linear", "linear")),
    "the encoder, beside a nonlinear decoder": (
        ("nonlinear", "nonlinear"),
        ("nonlinear", "linear"),
    ),
}
worth = {name: compare(*change) for name, change in changes.items()}
for name, (nats, error) in worth.items():
    print(f"{name:40s} {nats:+6.2f} ± {error:.2f} nats")
decoders = list(worth.values())[:2]
encoders = list(worth.values())[2:]
assert SMOKE or all(nats > 5 * error for nats, error in decoders)
assert SMOKE or max(abs(nats) for nats, _ in encoders) < min(nats for nats, _ in decoders) / 2
assert SMOKE or gain.mean() > 1.5 * max(nats for nats, _ in decoders)  # the noise of each pixel
assert SMOKE or log_p["linear", "linear"].mean() - elbos["linear", "linear"] < 0.5

# %% mystnb={"image": {"alt": "Held-out log-likelihood of six models as points with error bars: PCA far below factor analysis, which equals the linear VAEs, and the two with a nonlinear decoder above"}}
shown = {
    "PCA, solved": (held_out["PCA"], None),
    "factor analysis, solved": (held_out["factor analysis"], None),
}
for (decoder, encoder), values in log_p.items():
    shown[f"{decoder} decoder, {encoder} encoder"] = values, elbos[decoder, encoder]
figure, ax = plt.subplots(figsize=(7.5, 3), layout="constrained")
for height, (values, bound) in enumerate(reversed(shown.values())):
    error = 2 * values.std().item() / len(values) ** 0.5
    ax.errorbar(values.mean().item(), height, xerr=error, fmt="o", color="C0", capsize=3)
    if bound is not None:
        ax.plot(bound, height, "|", color="C1", ms=12, mew=2)
ax.plot([], [], "o", color="C0", label="log $p(x)$, ± 2 standard errors")
ax.plot([], [], "|", color="C1", ms=12, mew=2, label="ELBO")
ax.set(
    yticks=range(len(shown)), yticklabels=list(reversed(shown)), xlabel="nats per held-out digit"
)
_ = ax.legend(frameon=False)

# %% [markdown]
# The order of things: noise per pixel, which needs no network at all, is worth most. The nonlinear decoder
# comes next: it bends the subspace into a surface, and digits lie on one. The network in the encoder
# changes little here. It is not part of the model of $x$; it can only bring the bound nearer to the evidence,
# and so let the decoder be learned with less of a pull. Beside a linear decoder there was nothing to bring
# nearer. Whether it pays elsewhere is a matter of how the posterior means bend, of data enough to learn
# that, and of the guide's family, to which [chapter 9](09_swapping_guides.py) turns.
#
# ## Exercises
#
# 1. Show that the gradient of the autoencoder's error vanishes for *every* choice of $L$ eigenvectors, not
#    only the leading ones. Start L-BFGS from the trailing ones, shifted a little: where does it end?
# 2. Derive the closed form of the ELBO above, and from it the best $V$ and $D$ for a given $W$. Put them in
#    and plot the ELBO over $W$ for one latent and two pixels.
# 3. Train the linear VAE by `fit` in place of L-BFGS. How many steps until it is within a tenth of a nat?
#    Which is found last, the subspace, the noise, or the axes?
# 4. Let $L$ run from two to fifty for PCA and factor analysis, and plot the held-out likelihood. Explain why PCA
#    catches up, and with what it pays.
# 5. Give the nonlinear decoder noise that it predicts, `scale="per-pixel"`. What is that worth, and what does
#    it do to the pictures that are drawn from the prior?
#
# ## Sources
#
# Bourlard and Kamp 1988, *Auto-Association by Multilayer Perceptrons and Singular Value Decomposition*;
# Baldi and Hornik 1989, *Neural Networks and Principal Component Analysis*; Tipping and Bishop 1999,
# *Probabilistic Principal Component Analysis*; Rubin and Thayer 1982, *EM Algorithms for ML Factor
# Analysis*; Lucas, Tucker, Grosse and Norouzi 2019, *Don't Blame the ELBO! A Linear VAE Perspective on
# Posterior Collapse*; Dai, Wang, Aston, Hua and Wipf 2018, *Connections with Robust PCA and the Role of
# Emergent Sparsity in Variational Autoencoder Models*.
