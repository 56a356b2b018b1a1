# %% [markdown]
# # 2. A VAE is two programs
#
# [Chapter 1](01_the_evidence_lower_bound.py) had one $x$, one cause of it, and a bound on
# $\log p(x)$ in closed form. Now there are a thousand images, the map from causes to images is a
# neural network, and nothing has a closed form. Two ideas of Kingma and Welling make the same
# bound work there. A second network looks at $x$ and *proposes* the posterior, so that no example
# needs an optimisation of its own. And a sample is written so that one can differentiate through
# it.
#
# What comes out is two programs: a **model** that turns causes into images, with parameters
# $\theta$, and a **guide** that turns images into beliefs about their causes, with parameters
# $\phi$. One number, the evidence lower bound (ELBO), trains both.
#
# You will see
#
# 1. the algorithm, one step after the other, in plain PyTorch,
# 2. the same algorithm in Pyro, where the two programs are on the page: with the same random
#    numbers it takes the same steps,
# 3. the same again in twelve lines, with what the model learned.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import math

import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch
from matplotlib.patches import Ellipse
from pyro.infer import SVI, Trace_ELBO
from torch import nn
from torch.nn.functional import softplus

from pyro_vae import (
    data,
    evaluation,
    explain,
    fit,
    likelihoods,
    networks,
    plots,
    posteriors,
    priors,
)
from pyro_vae.programs import vae

torch.set_default_dtype(torch.float64)  # so that "the same" means the same

digits = data.load("digits").flatten().binarized()  # grey pixels become coins
if SMOKE:
    digits = digits.subset(256)
grey, test = digits.train.double(), digits.test.double()
print(digits)

# %% [markdown]
# ## What is to be trained
#
# The causes are two numbers, $z \in \mathbb R^2$. The images have $D = 64$ pixels that are black
# or white. The model says
#
# $$ p(z) = \mathcal N(z; 0, I), \qquad
#    p_\theta(x \mid z) = \prod_{i=1}^{D} \mathrm{Bernoulli}\big(x_i; \operatorname{sigmoid}(f_\theta(z)_i)\big), $$
#
# and the guide says
#
# $$ q_\phi(z \mid x) = \mathcal N\big(z; \mu_\phi(x), \operatorname{diag} \sigma_\phi(x)^2\big), $$
#
# where $f_\theta$ is one network, the *decoder*, and $(\mu_\phi, \log \sigma_\phi)$ are the
# outputs of another, the *encoder*. We climb
#
# $$ \sum_x \mathbb E_{q_\phi(z \mid x)}\big[\log p(z) + \log p_\theta(x \mid z) - \log q_\phi(z \mid x)\big]
#    \;\le\; \sum_x \log p_\theta(x) $$
#
# in $\theta$ and $\phi$ at once, by stochastic gradient steps.
#
# ## Step 1: initialise $\theta$ and $\phi$

# %%
pixels, latent, hidden = 64, 2, 128


def initialise():
    """Fresh networks, the same at every call."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.SiLU(), nn.Linear(hidden, 2 * latent))
    decoder = nn.Sequential(nn.Linear(latent, hidden), nn.SiLU(), nn.Linear(hidden, pixels))
    return encoder, decoder


encoder, decoder = initialise()
phi, theta = list(encoder.parameters()), list(decoder.parameters())
print(f"theta: {sum(p.numel() for p in theta):,} numbers, phi: {sum(p.numel() for p in phi):,}")

# %% [markdown]
# ## Step 2: take a mini-batch
#
# Summing over a few examples and multiplying by how many such batches there are gives the sum over
# all, on average. The pixels are grey, and our likelihood wants coins, so each pixel is tossed,
# afresh every time: its grey value is the probability of white.


# %%
def mini_batches(epochs, size=128):
    """Binary images, (size, pixels), in an order that is new in every epoch."""
    for _ in range(epochs):
        for index in torch.randperm(len(grey)).split(size):
            yield torch.bernoulli(grey[index])


torch.manual_seed(1)
x = next(mini_batches(epochs=1))
print(f"x: {tuple(x.shape)}")

# %% [markdown]
# ## Step 3: draw $\varepsilon$
#
# All the chance that this step needs, drawn from a distribution that has no parameters.

# %%
epsilon = torch.randn(len(x), latent)
print(f"epsilon: {tuple(epsilon.shape)}, one draw for each image")

# %% [markdown]
# ## Step 4: reparameterise
#
# We want $z \sim q_\phi(z \mid x)$, and the derivative of what follows with respect to $\phi$.
# Write the draw as
#
# $$ z = \mu_\phi(x) + \sigma_\phi(x) \odot \varepsilon, \qquad \varepsilon \sim \mathcal N(0, I). $$
#
# It has the distribution that was wanted, and for given $\varepsilon$ it is a differentiable
# function of $\phi$. [Chapter 4](04_the_reparameterisation_trick.py) is about what this buys.

# %%
mean, log_scale = encoder(x).chunk(2, dim=-1)
z = mean + log_scale.exp() * epsilon
print(f"z: {tuple(z.shape)}, and autograd knows where it came from: {z.grad_fn is not None}")

# %% [markdown]
# ## Step 5: the bound, and its gradient
#
# Three log-densities at the one sample. That of $q$ is written in $\varepsilon$, since
# $(z - \mu)/\sigma = \varepsilon$.


# %%
def elbo_by_hand(encoder, decoder, x, epsilon):
    """An unbiased estimate of the ELBO of each example, (batch,), in nats."""
    mean, log_scale = encoder(x).chunk(2, dim=-1)
    z = mean + log_scale.exp() * epsilon
    logits = decoder(z)
    log_normaliser = 0.5 * math.log(2 * math.pi)
    log_p_z = (-0.5 * z.square() - log_normaliser).sum(-1)
    log_p_x_given_z = (x * logits - softplus(logits)).sum(-1)
    log_q_z_given_x = (-0.5 * epsilon.square() - log_scale - log_normaliser).sum(-1)
    return log_p_z + log_p_x_given_z - log_q_z_given_x


elbo = elbo_by_hand(encoder, decoder, x, epsilon)
loss = -elbo.sum()  # optimisers go down
loss.backward()
by_hand = [p.grad.clone() for p in theta + phi]
print(f"ELBO before training: {elbo.mean():.2f} nats per example")
print(f"64 fair coins:        {-pixels * math.log(2):.2f}")

# %% [markdown]
# ## Step 6: update, and begin again at step 2
#
# One optimiser over both groups of parameters. That is the whole algorithm; here it is in a loop.


# %%
def train_by_hand(epochs):
    encoder, decoder = initialise()
    optimiser = torch.optim.Adam([*decoder.parameters(), *encoder.parameters()], lr=2e-3)
    torch.manual_seed(1)
    bounds = []
    for x in mini_batches(epochs):
        epsilon = torch.randn(len(x), latent)
        elbo = elbo_by_hand(encoder, decoder, x, epsilon)
        optimiser.zero_grad()
        (-elbo.sum()).backward()
        optimiser.step()
        bounds.append(elbo.mean().item())
    return encoder, decoder, torch.tensor(bounds)


epochs = 2 if SMOKE else 150
encoder, decoder, bounds_by_hand = train_by_hand(epochs)
per_epoch = bounds_by_hand.reshape(epochs, -1).mean(1)
print(f"ELBO, mean of the first epoch: {per_epoch[0]:.2f} nats per example")
print(f"ELBO, mean of the last:        {per_epoch[-1]:.2f}")
assert per_epoch[-1] > per_epoch[0]

# %% [markdown]
# ## The same as two programs
#
# In the code above the model and the guide are hard to find. The prior is half a line in the
# middle of a function, the guide is partly in the sampling and partly in a density, and whoever
# wants another prior must find all the places. Pyro lets us write down *how things are drawn*, and
# derives the densities and the sampling from that. The model, line by line the mathematics of
# above:


# %%
def make_programs():
    encoder, decoder = initialise()
    pyro.clear_param_store()  # Pyro keeps parameters by name, from cell to cell

    def model(x):
        pyro.module("decoder", decoder)  # theta
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(latent), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x):
        pyro.module("encoder", encoder)  # phi
        with pyro.plate("data", len(x)):
            mean, log_scale = encoder(x).chunk(2, dim=-1)
            pyro.sample("z", dist.Normal(mean, log_scale.exp()).to_event(1))

    return model, guide, encoder, decoder


model, guide, encoder, decoder = make_programs()

# %% [markdown]
# There is no loss in sight, and no $\varepsilon$. Both follow. Pyro's `Trace_ELBO` runs the guide,
# which draws $z$; runs the model with that $z$ put in its place; and subtracts the
# log-probabilities that the two runs left behind. `dist.Normal` draws by steps 3 and 4. The table
# shows what each site adds.

# %%
print(explain(model, guide, x))

# %% [markdown]
# Is it really the same? Give both the same random numbers, and compare every gradient.

# %%
torch.manual_seed(1)
x_again = next(mini_batches(epochs=1))
model, guide, encoder, decoder = make_programs()
torch.manual_seed(1)
next(mini_batches(epochs=1))  # the random numbers now stand where step 3 found them
Trace_ELBO().loss_and_grads(model, guide, x_again)
by_pyro = [p.grad for p in [*decoder.parameters(), *encoder.parameters()]]

largest = max(g.abs().max() for g in by_hand)
difference = max((a - b).abs().max() for a, b in zip(by_hand, by_pyro, strict=True))
print(f"the largest of all derivatives:          {largest:.1f}")
print(f"the largest difference between the two:  {difference:.1e}")
assert torch.equal(x, x_again)
assert difference < 1e-12 * largest  # some thousand additions in double precision

# %% [markdown]
# And the whole algorithm, steps 2 to 6, is `SVI`: stochastic variational inference, with stock
# Pyro.


# %%
def train_by_pyro(epochs):
    model, guide, encoder, decoder = make_programs()
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 2e-3}), loss=Trace_ELBO())
    torch.manual_seed(1)
    bounds = torch.tensor([-svi.step(x) / len(x) for x in mini_batches(epochs)])
    return model, guide, encoder, decoder, bounds


model, guide, encoder, decoder, bounds_by_pyro = train_by_pyro(epochs)
apart = (bounds_by_hand - bounds_by_pyro).abs()
print(f"largest difference of the ELBO in {len(apart)} steps: {apart.max():.1e} nats")
assert apart.max() < 1e-9  # rounding: some 1e-14 a step, with room for steps that make it larger

# %% mystnb={"image": {"alt": "ELBO by epoch, rising steeply and then slowly; the line of the run by hand and the dots of the run by SVI coincide"}}
figure, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
passes = torch.arange(1, epochs + 1)
ax.plot(passes, bounds_by_hand.reshape(epochs, -1).mean(1), lw=3, alpha=0.4, label="by hand")
ax.plot(passes, bounds_by_pyro.reshape(epochs, -1).mean(1), "k:", label="two programs and SVI")
ax.set(xlabel="epoch", ylabel="ELBO, nats per example")
_ = ax.legend(frameon=False)

# %% [markdown]
# ## What the two programs know
#
# With two causes one can look at all of it. On the left the guide, asked about test images: each
# ellipse is one $q(z \mid x)$, a standard deviation to each side, coloured by the digit, of which
# nobody told it. On the right the model, asked at places that divide the prior's probability
# evenly: its mean of $p(x \mid z)$ there.

# %% tags=["thumbnail"] mystnb={"image": {"alt": "Left, ellipses of the guide for test digits, coloured by class and forming groups; right, a grid of decoded digits over the latent plane, one digit turning into the next"}}
with torch.no_grad():
    mean, log_scale = encoder(test).chunk(2, dim=-1)
labels, colours = digits.labels["test"], plt.get_cmap("tab10")
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.3), layout="constrained")
for centre, width, label in zip(mean, 2 * log_scale.exp(), labels, strict=True):
    shape = Ellipse(tuple(centre), *width.tolist(), color=colours(int(label)), alpha=0.35, lw=0)
    left.add_patch(shape)
for digit in range(10):
    middle = mean[labels == digit].median(0).values
    left.text(*middle, str(digit), fontsize=15, weight="bold", ha="center", va="center")
left.set(xlabel="z[0]", ylabel="z[1]", title="guide, $q(z|x)$", xlim=(-3, 3), ylim=(-3, 3))
left.set_aspect("equal")
_ = plots.manifold(lambda z: decoder(z).sigmoid(), n=10, ax=right, title="model, mean of $p(x|z)$")

# %% [markdown]
# The prior pulls all beliefs towards one round cloud; the likelihood pulls them apart, for where
# two ellipses overlap the model cannot tell their images from each other. Two dimensions are too
# few for ten kinds of digits, and so the groups crowd. What is it worth on images that were not
# seen in training? The bound, its two parts, and an estimate of $-\log p(x)$ by importance weights
# ([chapter 10](10_tighter_bounds.py)):

# %%
two_causes = evaluation.evaluate(model, guide, test, particles=10 if SMOKE else 500)
print(two_causes)

# %% [markdown]
# ## The same in twelve lines
#
# Writing the two functions is the best way to see what a VAE is. To *change* one thing and keep
# the rest, it helps to name the parts: a prior and a likelihood make the model, a posterior makes
# the guide. {py:class}`pyro_vae.programs.vae.Model` has the two `pyro.sample` statements of above
# and nothing else, and {py:func}`pyro_vae.fit` is the loop of steps 2 to 6. Here it is with ten
# causes in place of two.

# %%
torch.set_default_dtype(torch.float32)  # single precision, as one trains
torch.manual_seed(0)

decoder = networks.MLP(10, 64, hidden=[128])
encoder = networks.MLP(64, 2 * 10, hidden=[128])
model = vae.Model(priors.StandardNormal(10), likelihoods.Bernoulli(decoder))  # p(z) p(x|z)
guide = vae.Guide(posteriors.DiagonalNormal(encoder))  # q(z|x)
history = fit(model, guide, digits, epochs=2 if SMOKE else 150, progress=False)

ten_causes = evaluation.evaluate(model, guide, digits.test, particles=10 if SMOKE else 500)
print(ten_causes)

# %%
gain = ten_causes.elbo - two_causes.elbo
error = math.hypot(ten_causes.elbo_stderr, two_causes.elbo_stderr)
print(f"ten causes are worth {gain:.2f} ± {error:.2f} nats an image more than two")
assert SMOKE or gain > 2 * error

# %% [markdown]
# To reconstruct is to run the guide, then the model with the guide's $z$. To sample is to run the
# model alone. Neither is a method of anything: they are Pyro's effect handlers on the programs
# that were trained.

# %% mystnb={"image": {"alt": "Left, test digits in pairs with their reconstructions, which are smooth; right, a grid of digits drawn from the model"}}
x_hat = evaluation.reconstruct(model, guide, digits.test[:16])
x_new = evaluation.generate(model, digits.test, n=40)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
plots.reconstructions(
    digits.test[:16], x_hat, columns=8, ax=left, title="$z \\sim q(z|x)$, then $p(x|z)$"
)
_ = plots.samples(x_new, columns=8, ax=right, title="$z \\sim p(z)$, then the mean of $p(x|z)$")

# %% [markdown]
# And the curve of training, with the bound's two parts. The reconstruction improves *at the price
# of* a larger KL: to say more about each image costs nats.
# [Chapter 6](06_reconstruction_and_regularisation.py) is about that trade.

# %% mystnb={"image": {"alt": "Three panels by epoch, training and validation: the ELBO rises, the reconstruction rises, the KL rises"}}
_ = plots.curves(history, skip=0 if SMOKE else 3)
for part in ("reconstruction", "kl"):
    assert SMOKE or history[part][-1] > history[part][3] + 1  # nats; epochs differ by a tenth

# %% [markdown]
# ## Exercises
#
# 1. In `elbo_by_hand`, stop the gradient through $z$ (`z = z.detach()`) and train. Which of the
#    two programs no longer learns, and what does its KL do? Say from the formula why.
# 2. Leave `pyro.clear_param_store()` out of `make_programs`, and run the cells of "The same as two
#    programs" twice. Which decoder receives the gradients the second time? Then read how
#    {py:class}`pyro_vae.programs.Program` avoids this.
# 3. Change the prior of the *bare* model to a Laplace distribution. How many places must change in
#    the programs, and how many in `elbo_by_hand`?
# 4. Replace three log-densities at a sample by the closed form of
#    $\mathrm{KL}(q_\phi(z \mid x) \,\|\, p(z))$ in `elbo_by_hand`, and find the Pyro objective
#    whose gradients it equals ([chapter 5](05_two_elbos.py) compares the two).
# 5. Show that $\nabla_\phi \log q_\phi(z \mid x)$ along
#    $z = \mu_\phi + \sigma_\phi \odot \varepsilon$ depends on $\sigma_\phi$ alone, as it does in
#    `elbo_by_hand`, although $\log q_\phi$ at a fixed $z$ depends on both.
#
# ## Sources
#
# Kingma and Welling 2014, *Auto-Encoding Variational Bayes* (algorithm 1, and the pictures of a
# plane of causes); Rezende, Mohamed and Wierstra 2014, *Stochastic Backpropagation and Approximate
# Inference in Deep Generative Models*; Bingham et al. 2019, *Pyro: Deep Universal Probabilistic
# Programming*; Wingate and Weber 2013, *Automated Variational Inference in Probabilistic
# Programming*.
