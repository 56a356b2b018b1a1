# %% [markdown]
# # 23. Speed and scale
#
# A probabilistic program is explicit ([chapter 2](02_two_programs.py)): every distribution is an object, every site a message that passes
# through a stack of handlers. What does that cost? This chapter takes a training step apart, shows where
# its time goes, and takes out what is not arithmetic.
#
# Half of it is about *measuring*. A claim of speed is easily made and seldom means anything: the machine
# was busy, the first step was counted, one contender ran on a warm cache. So we first say how to measure
# so that the answer survives a bad machine, and what the answer should be held against.
#
# You will see
#
# 1. how to time things that differ by little on a machine that others use, and a floor to compare with,
# 2. that most of a small step is Python, counted call by call,
# 3. what a compiled step is, that it takes the same steps, and what makes it compile anew,
# 4. what batches, particles and a GPU change.
#
# Timings are printed and drawn, not asserted: they belong to the machine on which this page was made.
# What is asserted here would hold on any.

# %% tags=["remove-cell"]
import os

SMOKE = "PYRO_VAE_SMOKE" in os.environ  # a quick run, with which nothing is claimed

# %%
import sys
import time

import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch
from matplotlib.ticker import LogFormatter
from pyro.infer import SVI, Trace_ELBO
from torch.nn.functional import softplus

from pyro_vae import networks
from pyro_vae.objectives import BetaELBO
from pyro_vae.schedules import Linear
from pyro_vae.training import CompiledSVI

torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"
print(f"device {device}, {torch.get_num_threads()} threads, PyTorch {torch.__version__}")

# %% [markdown]
# ## The program
#
# A VAE of the size that papers of ten years ago trained on MNIST: 784 pixels, 400 hidden units, 20
# latent dimensions, 128 images in a batch. Which images does not matter for the time, so these are coins.

# %%
PIXELS, HIDDEN, LATENT, BATCH = 784, 400, 20, 128


def make_programs(pixels=PIXELS, hidden=HIDDEN, latent=LATENT):
    """A model and a guide with fresh networks."""
    decoder = networks.MLP(latent, pixels, hidden=[hidden]).to(device)
    encoder = networks.MLP(pixels, 2 * latent, hidden=[hidden]).to(device)

    def model(x):
        pyro.module("decoder", decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(latent), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x):
        pyro.module("encoder", encoder)
        with pyro.plate("data", len(x)):
            loc, raw = encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(loc, softplus(raw) + 1e-6).to_event(1))

    return model, guide


def images(n=BATCH, pixels=PIXELS):
    return (torch.rand(n, pixels, device=device) < 0.3).float()


def inference(kind=SVI, loss=None, sizes=(), **options):
    """Stock `SVI` or another kind, on fresh programs, always from the same start."""
    pyro.clear_param_store()
    torch.manual_seed(0)
    model, guide = make_programs(*sizes)
    adam = pyro.optim.Adam({"lr": 1e-3})
    return kind(model, guide, adam, loss=loss or Trace_ELBO(), **options)


# %% [markdown]
# ## How to measure
#
# The time of a step is a fixed cost plus whatever the machine adds: another process, a hot processor,
# a page that was not there. What is added is never negative. So the *least* of many times is the best
# estimate of the cost, and their mean says more about the neighbours.
#
# Two contenders that are timed one after the other meet different neighbours. So let them take *turns*,
# a few steps each, many times over: then both meet the same. And the first steps do not count, which
# allocate, compile and warm caches. That is the whole method.


# %%
def wait():
    """A GPU works while Python goes on; the clock may be read when it has finished."""
    if device == "cuda":
        torch.cuda.synchronize()


def interleaved(contenders, rounds, repeat=3, warm=3):
    """Milliseconds of each contender: the times of all its turns."""
    for step in contenders.values():
        for _ in range(warm):
            step()
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, step in contenders.items():
            wait()
            began = time.perf_counter()
            for _ in range(repeat):
                step()
            wait()
            times[name].append(1e3 * (time.perf_counter() - began) / repeat)
    return times


# %% [markdown]
# What should the answer be held against? A VAE of linear layers has to multiply matrices, three times
# for each layer: forward, for the gradient of the weights, for the gradient of the input (which the first
# layer of the encoder does not need). Nothing that computes these gradients is faster than its matrix
# products alone. That is the **floor**, and it is measured on the same machine by the same method.


# %%
def floor(batch=BATCH):
    """One function that does the matrix products of a training step, and nothing else."""
    layers = [(PIXELS, HIDDEN), (HIDDEN, 2 * LATENT), (LATENT, HIDDEN), (HIDDEN, PIXELS)]
    tensors = [
        tuple(torch.randn(*size, device=device) for size in ((batch, m), (m, n), (batch, n)))
        for m, n in layers
    ]

    def products():
        for number, (x, w, g) in enumerate(tensors):
            x @ w
            x.T @ g
            if number:
                g @ w.T

    return products, sum(2 * batch * m * n * (3 if k else 2) for k, (m, n) in enumerate(layers))


products, operations = floor()
print(f"{operations / 1e9:.2f} billion floating-point operations in one step's matrix products")
# Two for each pair of numbers, a product and a sum.
assert operations == 2 * BATCH * (
    2 * PIXELS * HIDDEN + 3 * HIDDEN * 2 * LATENT + 3 * LATENT * HIDDEN + 3 * HIDDEN * PIXELS
)

# %% [markdown]
# ## Where the time goes
#
# Times can be argued about; calls can be counted. Python reports each call of a function, and so we can
# count how many a step of stock `SVI` makes.


# %%
def python_calls(step):
    """How many functions, of Python and of C, one call of `step` enters."""
    count, before = 0, sys.getprofile()

    def hear(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(hear)
    try:
        step()
    finally:
        sys.setprofile(before)
    return count


x = images()
svi = inference()
eager_calls = [python_calls(lambda: svi.step(x)) for _ in range(4)][-1]
print(f"one step of SVI enters {eager_calls:,} functions, to compute eleven matrix products")

# %% [markdown]
# None of these calls depends on what is in the tensors. A second step makes the same ones, in the same
# order, with the same shapes. So do it once: let the program run under the bound's own `loss_and_grads`,
# write down every tensor operation that is carried out, forward and backward, and from then on run the
# list. {py:class}`pyro_vae.training.CompiledSVI` does that; the word `SVI(` is all that changes.
#
# With `backend="none"` it is just the list. With the default, inductor fuses what can be fused, which
# takes some seconds at the first step and is kept on disk.

# %%
staged = inference(CompiledSVI, backend="none")
staged_calls = [python_calls(lambda: staged.step(x)) for _ in range(4)][-1]
print(f"the list of operations: {staged_calls:,} functions")
compiled = inference(CompiledSVI, backend="none" if SMOKE else "inductor")
compiled_calls = [python_calls(lambda: compiled.step(x)) for _ in range(4)][-1]
print(f"compiled: {compiled_calls:,} functions, {compiled.compilations} compilation")
# Parts of a step that are Python's share, whatever the machine; the list calls some hundreds.
assert staged_calls < eager_calls / 4
assert staged.compilations == 1

# %% [markdown]
# ## The same steps
#
# Fewer calls are worth nothing if they compute something else. The list draws its random numbers from the
# same generator, in the same order. So from one seed both take the same step, and we compare every
# parameter after five of them.


# %%
def after_steps(kind, **options):
    """Every parameter after five steps, each from a random seed of its own."""
    svi, losses = inference(kind, **options), []
    for seed in range(5):
        pyro.set_rng_seed(seed)
        losses.append(svi.step(x))
    return losses, {name: p.detach().clone() for name, p in pyro.get_param_store().items()}


losses, parameters = after_steps(SVI)
staged_losses, staged_parameters = after_steps(CompiledSVI, backend="none", strict=True)
worst = max((parameters[name] - staged_parameters[name]).abs().max() for name in parameters)
print(f"losses:     {', '.join(f'{loss:.2f}' for loss in losses)}")
print(f"the list's: {', '.join(f'{loss:.2f}' for loss in staged_losses)}")
print(f"largest difference of any parameter after five steps: {worst:.1e}")
assert parameters.keys() == staged_parameters.keys() and len(parameters) == 8
# Adam moves a parameter by at most the learning rate, 1e-3, in a step; where a gradient is
# rounding around zero, two runs may disagree about its sign, so allow one part in ten of a step.
assert worst < 1e-4

# %% [markdown]
# Whether fused code draws the same random numbers as well is a matter of the compiler and the device, and
# nothing should rest on it. They are draws from the same distributions. What must agree, from different
# seeds too, is an average, within its standard error.

# %%
repeats = 20 if SMOKE else 200
x_few = x[:32]
pyro.set_rng_seed(0)
by_svi = torch.tensor([svi.evaluate_loss(x_few) for _ in range(repeats)])
pyro.set_rng_seed(1)
fused = CompiledSVI(
    svi.model, svi.guide, pyro.optim.Adam({"lr": 1e-3}), loss=Trace_ELBO(),
    backend="none" if SMOKE else "inductor",
)  # fmt: skip
by_fused = torch.tensor([fused.evaluate_loss(x_few) for _ in range(repeats)])
error = (by_svi.var() / repeats + by_fused.var() / repeats).sqrt()
apart = (by_svi.mean() - by_fused.mean()).abs() / error
print(
    f"average loss {by_svi.mean():.2f} and {by_fused.mean():.2f}, {apart:.1f} standard errors apart"
)
assert apart < 5  # by chance in fewer than one run in a million

# %% [markdown]
# ## Against the clock
#
# Now the contenders take turns, the floor among them.

# %%
stock = inference()
compiled = inference(CompiledSVI, backend="none" if SMOKE else "inductor")
contenders = {
    "Pyro's SVI": lambda: stock.step(x),
    "CompiledSVI": lambda: compiled.step(x),
    "matrix products": products,
}
times = interleaved(contenders, rounds=2 if SMOKE else 40)
least = {name: min(each) for name, each in times.items()}
for name, each in times.items():
    median = sorted(each)[len(each) // 2]
    print(f"{name:15s}  least {least[name]:6.2f} ms, median {median:6.2f} ms")
ratio = least["CompiledSVI"] / least["Pyro's SVI"]
above = least["CompiledSVI"] / least["matrix products"]
print(
    f"a compiled step takes {ratio:.2f} times as long as stock SVI's, {above:.1f} times the floor"
)

# %% tags=["thumbnail"] mystnb={"image": {"alt": "Times of all turns of stock SVI, of the compiled step and of the matrix products alone, as dots, with the least of each marked"}}
figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
for row, (name, each) in enumerate(reversed(times.items())):
    axes.plot(each, [row] * len(each), "o", color="0.6", ms=4, alpha=0.5, mew=0)
    axes.plot(least[name], row, "|", color="C0", ms=22, mew=3)
    axes.annotate(f"{least[name]:.2f}", (least[name], row + 0.32), ha="center", fontsize=8)
axes.set_yticks(range(len(times)), list(reversed(times)))
axes.set(
    xscale="log", ylim=(-0.6, 2.7), xlabel="milliseconds a step (every turn; the least marked)"
)
axes.xaxis.set_major_formatter(LogFormatter())
axes.xaxis.set_minor_formatter(LogFormatter())
axes.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# Wherever the dots of one contender reach those of another, two single times would have given a coin's
# answer. The marks are what is left when the machine is left out.
#
# ## What compiles anew
#
# A list of operations is right for the shapes and numbers with which it was written down. Shapes are
# looked up: each new one gets a list of its own. Python's numbers are watched: when one that the program
# reads has changed, the list is written down again. A *tensor* is an input of the list: change it in
# place, and the next step sees it, at no cost. So what moves while it trains should be a tensor. The
# weights of this package's objectives are.

# %%
small = (64, 32, 4)
pieces = [images(n, small[0]) for n in (50, 50, 50, 50, 20, 20, 20)]  # two epochs' odd last batch


def compilations(svi, batches):
    for batch in batches:
        svi.step(batch)
    return svi.compilations


shapes = compilations(inference(CompiledSVI, sizes=small, backend="none"), pieces)
print(f"two sizes of batch: {shapes} compilations")
assert shapes == 2

# A weight with a schedule: a tensor that the objective moves.
annealed = BetaELBO(beta=Linear(length=20))
moving = inference(CompiledSVI, annealed, sizes=small, backend="none")
tensor_weight = compilations(moving, pieces[:1] * 10)
print(f"a weight that is a tensor, in ten steps: {tensor_weight} compilation")
assert tensor_weight == 1 and 0 < annealed.beta < 1

# The same as a number of Python's, in a global that the program reads.
pyro.clear_param_store()
weight = 0.5
decoder = torch.nn.Linear(small[2], small[0]).to(device)
encoder = torch.nn.Linear(small[0], small[2]).to(device)


def weighted_model(x):
    pyro.module("decoder", decoder)
    with pyro.plate("data", len(x)), pyro.poutine.scale(scale=weight):
        z = pyro.sample("z", dist.Normal(x.new_zeros(small[2]), 1.0).to_event(1))
        pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)


def weighted_guide(x):
    pyro.module("encoder", encoder)
    with pyro.plate("data", len(x)), pyro.poutine.scale(scale=weight):
        pyro.sample("z", dist.Normal(encoder(x), 1.0).to_event(1))


adam = pyro.optim.Adam({"lr": 1e-3})
watched = CompiledSVI(weighted_model, weighted_guide, adam, loss=Trace_ELBO(), backend="none")
before = compilations(watched, pieces[:1] * 4)
weight = 1.0
after = compilations(watched, pieces[:1] * 4)
print(f"a weight that is a number: {before} compilation, and {after} after it has changed once")
assert (before, after) == (1, 2)

# %% [markdown]
# ## Batches and particles
#
# The fixed cost of a step does not depend on how much it computes. So a step of ten times as many
# examples is not ten times as long, until arithmetic is what fills it. The same holds for the $K$ samples
# of a tighter bound: drawn in one pass as a leading dimension, they share the fixed cost; drawn one after
# the other, each pays it again. Calls show which it is, on any machine.

# %%
wide = [1, 4, 16] if SMOKE else [1, 4, 16, 64]


def particle_calls(K, vectorized):
    """Functions that one gradient of a bound with K samples enters."""
    bound = Trace_ELBO(num_particles=K, vectorize_particles=vectorized, max_plate_nesting=1)
    return python_calls(lambda: bound.loss_and_grads(svi.model, svi.guide, x_few))


calls = {way: [particle_calls(K, way) for K in wide] for way in (False, True)}
for vectorized, counts in calls.items():
    how = "in one pass" if vectorized else "one by one "
    print(f"particles {how}: " + ", ".join(f"{n:,} calls" for n in counts))
assert calls[True][-1] < 2 * calls[True][0]  # the plate of particles adds a few, once
assert calls[False][-1] > wide[-1] / 2 * calls[False][0]

# %%
sizes = [16, 64] if SMOKE else [8, 32, 128, 512]
measured = {}
for size in sizes:
    batch, (only_products, _) = images(size), floor(size)
    contenders = {
        "Pyro's SVI": lambda batch=batch: stock.step(batch),
        "CompiledSVI": lambda batch=batch: compiled.step(batch),
        "matrix products": only_products,
    }
    for name, each in interleaved(contenders, rounds=2 if SMOKE else 12).items():
        measured.setdefault(name, []).append(1e3 * min(each) / size)

# %% mystnb={"image": {"alt": "Microseconds for each example against the size of the batch, for stock SVI, the compiled step and the matrix products alone, on logarithmic axes"}}
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for name, style in zip(measured, ("o-", "s-", "k:"), strict=True):
    axes.loglog(sizes, measured[name], style, label=name, base=2)
axes.set_yscale("log", base=10)
axes.yaxis.set_major_formatter(LogFormatter())
axes.yaxis.set_minor_formatter(LogFormatter())
axes.set_xticks(sizes, list(map(str, sizes)))
axes.set(xlabel="examples in a batch", ylabel="microseconds for each example")
_ = axes.legend(frameon=False)

# %% [markdown]
# With few examples in a batch the step is all fixed cost, and that is where compiling helps most. With
# many, both curves fall towards the floor, and the only way on is another machine.
#
# A large batch is no free gift. It takes fewer steps in an epoch, and each step is worth about as much
# as one of a small batch; what counts in the end is the bound that is reached by a given time.
#
# ## On a GPU
#
# A GPU does the arithmetic of such a step in some tens of microseconds. The rest is Python, so the fixed cost
# is nearly *all* of the time, unless it is taken out. There the compiled step becomes one CUDA graph: forward,
# backward and the optimiser are recorded with their memory, and a step is a single launch. Two things
# follow.
#
# - Data must not come through Python either. {py:func}`pyro_vae.fit` keeps them on the device and draws
#   mini-batches there, by index; `device="auto"` takes a GPU where there is one.
# - Clocks must wait. A launch returns before its work is done, so the time of a loop without a
#   synchronisation is the time to *ask* for the work. `wait()` above is there for that.
#
# ## When is it worth it?
#
# Compiling takes some seconds. It pays after as many steps as it saves milliseconds to make up for them,
# which the cell below works out from what was measured. {py:func}`pyro_vae.fit` has `compile="auto"`,
# which decides by the number of steps and never by a clock: compiled steps may draw other random numbers
# than eager ones, and the same call should give the same result on every machine.

# %%
saved = (least["Pyro's SVI"] - least["CompiledSVI"]) / 1e3
print(f"compiling took {compiled.compile_seconds:.1f} s, and saves {1e3 * saved:.2f} ms a step")
if saved > 0:
    print(f"it pays from {compiled.compile_seconds / saved:,.0f} steps on")

# %% [markdown]
# ## Exercises
#
# 1. Time the same contender twice, under two names, with `interleaved`. How far apart are the two least
#    times, and how far apart are two means? What does that say of a claimed gain of a tenth?
# 2. Count the calls of a step of your own VAE in plain PyTorch, without Pyro. How much of the difference
#    to `SVI` is the price of being explicit, and how much does compiling leave of it?
# 3. Write `if x.mean() > 0:` into the model and step `CompiledSVI` with `strict=True`. What does it say,
#    and how would you write the same without reading the value in Python?
# 4. Derive how long a step must take on a machine of $F$ operations and $M$ bytes a second, from the
#    operations counted above and the bytes that the weights, their gradients and Adam's two moments take.
#    At which batch size does arithmetic overtake memory?
# 5. Replace the networks by convolutions. Which of the three curves of the last figure moves most?
#
# ## Sources
#
# Chen and Revels 2016, *Robust Benchmarking in Noisy Environments* (why the least time); Bingham and
# others 2019, *Pyro: Deep Universal Probabilistic Programming*; Ansel and others 2024, *PyTorch 2: Faster
# Machine Learning Through Dynamic Python Bytecode Transformation and Graph Compilation*; Williams,
# Waterman and Patterson 2009, *Roofline: An Insightful Visual Performance Model*.
