# %% [markdown]
# # 13. Conditional and semi-supervised
#
# Often something is known beside $x$: a label, or half of the picture. There are two ways to let it in.
# Put it behind the bar, $p(x \mid y)$, and nothing is said of where $y$ comes from: the **conditional** VAE.
# Or make it a variable of the model, $p(x, y)$, observed for some examples and latent for the others: the
# **semi-supervised** VAE. In a probabilistic program the difference is one argument: a site that is
# observed, or one that is not.
#
# You will see
#
# 1. what a latent keeps when the label is given, and what the label was worth,
# 2. a model of images that classifies, by Bayes' rule alone,
# 3. the rest of a digit from its left half, several times, since the answer is not one image,
# 4. what images without labels teach a classifier, and when they mislead it.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import math

import pyro
import pyro.distributions as dist
import torch
from sklearn.linear_model import LogisticRegression

from pyro_vae import ELBO, data, evaluation, fit, likelihoods, plots, posteriors, priors
from pyro_vae.networks import MLP
from pyro_vae.programs import conditional, semi_supervised, vae

torch.manual_seed(0)
digits = data.load("digits").flatten()
x, y = (digits.train > 0.5).float(), digits.labels["train"]
x_test, y_test = (digits.test > 0.5).float(), digits.labels["test"]
if SMOKE:
    x, y, x_test, y_test = x[:200], y[:200], x_test[:50], y_test[:50]
latent, epochs = 8, 2 if SMOKE else 40

# %% [markdown]
# ## A label behind the bar
#
# Every factor may now look at $y$:
#
# $$ p(x, z \mid y) = p(z)\, p(x \mid z, y), \qquad q(z \mid x, y), \qquad
#    \log p(x \mid y) \ge \mathbb E_q[\log p(x \mid z, y)] - \mathrm{KL}(q(z \mid x, y) \,\|\, p(z)). $$
#
# {py:class}`pyro_vae.programs.conditional.Model` is these lines; `y` is an argument and no site. Beside it
# we train a plain VAE of the same size.

# %%
torch.manual_seed(0)
plain = vae.Model(priors.StandardNormal(latent), likelihoods.Bernoulli(MLP(latent, 64, [128])))
plain_guide = vae.Guide(posteriors.DiagonalNormal(MLP(64, 2 * latent, [128])))
fit(plain, plain_guide, x, epochs=epochs, lr=3e-3, progress=False)

torch.manual_seed(0)
model = conditional.Model(
    priors.StandardNormal(latent), likelihoods.Bernoulli(MLP(latent + 10, 64, [128])), classes=10
)
guide = conditional.Guide(posteriors.DiagonalNormal(MLP(64 + 10, 2 * latent, [128])), classes=10)
fit(model, guide, (x, y), epochs=epochs, lr=3e-3, progress=False)

without = evaluation.evaluate(plain, plain_guide, x_test, particles=100)
given = evaluation.evaluate(model, guide, x_test, y_test, particles=100)
print(f"log p(x):   {-without.nll:.2f} ± {without.nll_stderr:.2f} nats, KL {without.kl:.2f}")
print(f"log p(x|y): {-given.nll:.2f} ± {given.nll_stderr:.2f} nats, KL {given.kl:.2f}")
print(
    f"the label is worth {without.nll - given.nll:.2f} nats, and holds log 10 = {math.log(10):.2f}"
)
assert SMOKE or given.nll < without.nll - 0.5

# %% [markdown]
# The two are evidences of different questions. In the truth they differ by the mutual information
# $I(x; y)$, which is at most the label's entropy. (The two models were trained apart, so the learned
# difference may also hold what one of them learned better.)
#
# What is left for $z$? Whatever $y$ explains need not be paid for in KL, so $z$ should forget the class.
# A linear classifier that reads the means of $q$ tells how much of the class is still in there.


# %%
def class_in(z, z_test):
    """How often a linear classifier on the latent's means is right."""
    return LogisticRegression(max_iter=3000).fit(z, y).score(z_test, y_test)


with torch.no_grad():
    plain_codes = [evaluation.encode(plain_guide, some).mean.numpy() for some in (x, x_test)]
    codes = [
        evaluation.encode(guide, some, labels).mean.numpy()
        for some, labels in ((x, y), (x_test, y_test))
    ]
in_plain, in_conditional = class_in(*plain_codes), class_in(*codes)
print(f"class read off z: {in_plain:.0%} without the label given, {in_conditional:.0%} with it")
assert SMOKE or in_conditional < in_plain - 0.2  # standard errors are below 0.03

# %% [markdown]
# So $z$ holds style: slant, stroke, size. Hold it, change the class, and the style should stay.

# %% tags=["thumbnail"] mystnb={"image": {"alt": "Digits in a grid: each row one style, each column one class from nought to nine"}}
styles = torch.randn(4, latent, generator=torch.Generator().manual_seed(1))
in_every_class = evaluation.decode(
    model, x, styles.repeat_interleave(10, 0), torch.arange(10).repeat(4)
)
_ = plots.images(in_every_class, columns=10, title="a row is one z, a column one y")

# %% [markdown]
# ## Bayes' rule makes a classifier of it
#
# A model of $p(x \mid y)$ for each class is a classifier, without having been trained as one:
#
# $$ p(y \mid x) = \frac{p(y)\, p(x \mid y)}{\sum_{y'} p(y')\, p(x \mid y')}, $$
#
# and the sum in the denominator is the evidence of a model of $x$ alone. Ten estimates of
# $\log p(x \mid y)$ for each test image, by importance weights ([chapter 10](10_tighter_bounds.py)):

# %%
n, particles = (50, 5) if SMOKE else (300, 50)
log_p_x_given_y = torch.stack(
    [
        evaluation.log_evidence(
            model, guide, x_test[:n], torch.full((n,), k), particles=particles
        ).log_evidence
        for k in range(10)
    ],
    -1,
)
log_p_x = log_p_x_given_y.logsumexp(-1) - math.log(10)
found = evaluation.accuracy(log_p_x_given_y.softmax(-1), y_test[:n])
print(f"classified by Bayes' rule: {found.overall:.0%} ± {found.stderr:.0%} are right")
own = log_p_x_given_y.gather(-1, y_test[:n, None])[:, 0]
gained = own - log_p_x  # log p(y|x) - log p(y)
error = gained.std() / n**0.5
print(f"the model's own log p(x): {log_p_x.mean():.2f} nats;")
print(f"the label gains {gained.mean():.2f} ± {error:.2f} nats, of {math.log(10):.2f} at most")
assert SMOKE or found.overall > 0.8
assert gained.max() <= math.log(10) + 1e-4  # p(y|x) is at most one
assert SMOKE or gained.mean() > 0.8 * math.log(10)

# %% [markdown]
# Within *one* model the label gains $\log p(y \mid x) + \log 10$, which is at most $\log 10$ for each image, as
# it must. That it gains most of that is no matter of algebra: a model that knew no more of a class
# than its share would gain nothing, one that was surely wrong would lose.
#
# ## Half an image behind the bar
#
# The context may be anything. Let it be the left half of a digit, and $x$ the right one. A network that
# predicts each pixel of the right half by itself is the same model with the latent left out: in Pyro, a
# model with an observed site only, and an empty guide.

# %%
known = torch.zeros(64, dtype=torch.bool).reshape(8, 8)
known[:, :4] = True
known = known.flatten()
hidden_half, seen_half = evaluation.parted(x, known)
hidden_test, seen_test = evaluation.parted(x_test, known)

torch.manual_seed(0)
network = MLP(32, 32, [128])


def baseline(x, y):
    pyro.module("network", network)
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Bernoulli(logits=network(y)).to_event(1), obs=x)


def nothing(x, y):
    """A guide without latents."""


fit(baseline, nothing, (hidden_half, seen_half), epochs=min(epochs, 15), lr=3e-3, progress=False)

torch.manual_seed(0)
completing = conditional.Model(
    posteriors.DiagonalNormal(MLP(32, 2 * latent, [64])),  # p(z|y): it may expect what is coming
    likelihoods.Bernoulli(MLP(latent + 32, 32, [128])),
)
completing_guide = conditional.Guide(posteriors.DiagonalNormal(MLP(64, 2 * latent, [128])))
fit(completing, completing_guide, (hidden_half, seen_half), epochs=min(epochs, 30), lr=3e-3,
    progress=False)  # fmt: skip

with torch.no_grad():
    pixels = dist.Bernoulli(logits=network(seen_test)).log_prob(hidden_test)
alone = float(pixels.sum(-1).mean())
together = evaluation.log_evidence(
    completing, completing_guide, hidden_test, seen_test, particles=20 if SMOKE else 200
)
print(
    f"log p(right half | left half): each pixel by itself {alone:.2f} nats, {together.mean:.2f} with z"
)
assert SMOKE or together.mean > alone + 0.5

# %% [markdown]
# The pixels of a half are not independent given the other half: if the top of an arc is there, so is its
# side. Only a common cause can say so, and the latent is one. Draw it anew, and the half is another.

# %% mystnb={"image": {"alt": "The top row shows digits whose right half is hidden; below each, four completions that differ, and the true digit in the last row"}}
some = slice(0, 12)
pink = x_test[some].masked_fill(~known, torch.nan)
filled = evaluation.complete(completing, x_test[some], known, draws=4, seed=2)
rows = torch.cat([pink, filled.flatten(0, 1), x_test[some]])
_ = plots.images(rows, columns=12, title="seen; four completions; the truth")
spread = filled.std(0)[:, ~known].mean()
print(f"completions differ by {spread:.2f} in an average pixel of the hidden half")
assert SMOKE or spread > 0.02
assert torch.equal(filled[..., known], x_test[some][:, known].expand(4, -1, -1))

# %% [markdown]
# ## A label that is sometimes a latent
#
# Now put $y$ into the model. With a label, $y$ is observed, and the bound is one on $\log p(x, y)$; without,
# it is a latent of ten values, and the bound is one on $\log p(x)$, in which the sum over $y$ can be taken
# exactly ([chapter 11](11_when_gradients_do_not_flow.py)):
#
# $$ \log p(x) \ge \sum_y q(y \mid x)\, \big[\mathcal L(x, y) - \log q(y \mid x)\big], \qquad
#    \mathcal L(x, y) \le \log p(x, y). $$
#
# Here it is in Pyro, for a model in which all is known: three classes, one normal latent, and $x$ in the
# plane. With the true posteriors as its guide both bounds must be tight, to the last digit.

# %%
torch.set_default_dtype(torch.float64)
centres = torch.tensor([[0.0, 0.0], [2.0, 0.5], [-1.0, 2.0]])
w, sigma = torch.tensor([1.0, -0.5]), 0.6
p_x_given_y = dist.LowRankMultivariateNormal(
    centres, w[:, None].expand(3, 2, 1), torch.full((3, 2), sigma**2)
)


def toy_model(x, label=None):
    with pyro.plate("data", len(x)):
        y = pyro.sample("y", dist.Categorical(torch.ones(3) / 3), obs=label)
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("x", dist.Normal(centres[y] + z[..., None] * w, sigma).to_event(1), obs=x)


def toy_guide(x, label=None):
    with pyro.plate("data", len(x)):
        y = label
        if label is None:
            q = dist.Categorical(logits=p_x_given_y.log_prob(x[:, None]))  # Bayes' rule
            y = pyro.sample("y", q, infer={"estimator": "enumerate"})
        variance = 1 / (1 + w.square().sum() / sigma**2)
        mean = variance * ((x - centres[y]) * w).sum(-1) / sigma**2
        pyro.sample("z", dist.Normal(mean, variance.sqrt()))


points, classes = torch.randn(6, 2), torch.tensor([0, 1, 2, 0, 1, 2])
log_joint = p_x_given_y.log_prob(points[:, None]) - math.log(3)  # log p(x, y), (6, 3)
unlabelled = -ELBO(kl="sampled").loss(toy_model, toy_guide, points)
labelled = -ELBO(kl="sampled").loss(toy_model, toy_guide, points, classes)
print(f"without labels: bound {unlabelled:.10f}, log p(x)    {log_joint.logsumexp(-1).sum():.10f}")
print(
    f"with labels:    bound {labelled:.10f}, log p(x, y) {log_joint[range(6), classes].sum():.10f}"
)
assert abs(unlabelled - log_joint.logsumexp(-1).sum()) < 1e-10
assert abs(labelled - log_joint[range(6), classes].sum()) < 1e-10
torch.set_default_dtype(torch.float32)

# %% [markdown]
# ## What images without labels teach
#
# {py:mod}`pyro_vae.programs.semi_supervised` mixes both kinds in one batch, with $-1$ for a label that is
# missing. One thing is worth knowing: where $y$ is observed, $q(y \mid x)$ does not occur in the bound. Labels
# teach the *model* what a class is, and the classifier only through it. So it is usual to add
# $\alpha \log q(y \mid x)$ for the labelled examples (`auxiliary`): a term beside the bound, which is not
# reported as part of it.
#
# A few labels of each class; the same classifier network, taught by the labelled images alone, and as
# part of the VAE with all images.


# %%
def few(each, seed):
    """Labels of which so many of each class are told, chosen at random; the others -1."""
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    told = torch.full_like(y, -1)
    for k in range(10):
        rows = order[y[order] == k][:each]
        told[rows] = k
    return told


def by_labels_alone(told):
    torch.manual_seed(0)
    network = MLP(64, 10, [128])
    optimiser = torch.optim.Adam(network.parameters(), 2e-3, weight_decay=1e-4)
    for _ in range(20 if SMOKE else 300):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(x[told >= 0]), told[told >= 0]).backward()
        optimiser.step()
    return evaluation.accuracy(network(x_test).softmax(-1).detach(), y_test).overall


def by_all_images(told):
    torch.manual_seed(0)
    model = semi_supervised.Model(
        priors.Categorical(10),
        priors.StandardNormal(latent),
        likelihoods.Bernoulli(MLP(10 + latent, 64, [128])),
    )
    guide = semi_supervised.Guide(
        MLP(64, 10, [128]),
        posteriors.DiagonalNormal(MLP(64 + 10, 2 * latent, [128])),
        auxiliary=60.0,
    )
    fit(model, guide, (x, told), epochs=1 if SMOKE else 40, batch_size=200, lr=5e-3, progress=False)
    return model, evaluation.accuracy(evaluation.classify(guide, x_test), y_test).overall


gains, draws = {}, 1 if SMOKE else 3
for each in (1, 10):
    found = []
    for seed in range(draws):
        told = few(each, seed)
        alone = by_labels_alone(told)
        semi, with_all = by_all_images(told)
        found.append(with_all - alone)
        print(f"{each:2d} labels a class: {alone:.1%} right with them alone, "
              f"{with_all:.1%} with all images")  # fmt: skip
    gains[each] = torch.tensor(found)
for each, gain in gains.items():
    print(f"{each:2d} labels a class: {', '.join(f'{g:+.1%}' for g in gain)} by the other images")
assert SMOKE or gains[1].mean() < 0 < gains[10].mean()

# %% [markdown]
# With ten labels of each the images without labels add a little: in any one draw of the labels less than
# so few test digits can tell from nothing, on average something. With one of each they *cost*, and at best
# do nothing. The one example may be an odd one, and whatever part of the images looks like it gets its
# name. What has $y$ become, with ten? A row is one $z$ again, a column one value of $y$, whose meaning
# came from a hundred labels.

# %% mystnb={"image": {"alt": "Digits drawn by the semi-supervised model: each row one style, each column one value of the class latent"}}
z = styles.repeat_interleave(10, 0)
drawn = evaluation.decode(semi, x, {"y": torch.eye(10).repeat(4, 1), "z": z})
_ = plots.images(drawn, columns=10, title="semi-supervised: a row is one z, a column one y")

# %% [markdown]
# Images without labels help as far as the classes are *visible in $p(x)$*: if the model's easiest way to
# explain the images splits them where the labels do, few labels are enough to name the parts. Nothing
# guarantees that. Where the style varies more than the class, the ten values of $y$ may be spent on
# something else, and unlabelled data can hurt.
#
# ## Exercises
#
# 1. In the conditional model, feed the wrong label, `y.roll(1)`. By how much does $\log p(x \mid y)$ fall, and
#    what has that to do with the classifier?
# 2. Show that $\mathbb E[\log p(x \mid y) - \log p(x)] = I(x; y)$ under the true distribution. May the
#    average be above $\log 10$ for two models that were trained apart?
# 3. Set `auxiliary=0`. Explain why the classifier still learns, and from which examples.
# 4. How many draws of the labels would you want to see before you claim a gain with ten of each? Estimate
#    it from the three, then make them. Where between one label and ten does the loss turn into a gain?
# 5. Build M1 + M2: train a VAE, give its means to a semi-supervised program with a normal likelihood.
#    When should it beat M2 alone?
#
# ## Sources
#
# Kingma, Rezende, Mohamed and Welling 2014, *Semi-supervised Learning with Deep Generative Models*; Sohn,
# Lee and Yan 2015, *Learning Structured Output Representation using Deep Conditional Generative Models*;
# Chapelle, Schölkopf and Zien 2006, *Semi-Supervised Learning* (when unlabelled data hurt).
