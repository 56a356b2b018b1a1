"""Joint optimisation of theta and phi."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pyro.infer import ELBO as PyroELBO
from torch import Tensor

from pyro_vae.objectives import ELBO

from . import checkpoint as files
from .arguments import Splits, as_arguments, fingerprint
from .batches import steps_per_epoch
from .compiled_step import CompiledStep
from .compiling import Compile, begun_compiled, pays
from .examine import examine
from .history import History
from .interrupt import held_back
from .keeper import Keeper
from .loggers import Logger
from .loop import Loop
from .objective import critic_of, inform
from .optimizer import Optim, make_optimizer
from .precision import Precision, check_precision
from .progress import Progress
from .randomness import gradients, isolated_randomness
from .run import Run
from .schedule import Schedule, make_schedule
from .settings import check_options, describe, move, pick_device
from .step import EagerStep
from .strategy import Joint, Strategy, as_strategy
from .weights import Weights

Program = Callable[..., Any]


def fit(
    model: Program,
    guide: Program,
    data: Any,
    *,
    objective: PyroELBO | None = None,
    optim: Optim | None = None,
    lr: float | None = None,
    lr_guide: float | None = None,
    schedule: Schedule = "cosine",
    epochs: int = 20,
    batch_size: int = 128,
    validation: Any = None,
    patience: int | None = None,
    restore_best: bool = True,
    transform: Callable[[Tensor], Tensor] | None = None,
    clip_norm: float | None = None,
    seed: int = 0,
    device: str | torch.device = "auto",
    strategy: Strategy | None = None,
    compile: Compile = "auto",
    precision: Precision = "float32",
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 1,
    resume: str | os.PathLike[str] | None = None,
    loggers: Sequence[Logger] = (),
    progress: bool | None = None,
) -> History:
    r"""Maximise a bound over theta and phi together, by stochastic gradient steps.

    .. math:: \max_{\theta, \phi} \; \sum_i \mathbb E_{q_\phi(z|x_i)}
              [\log p_\theta(x_i, z) - \log q_\phi(z|x_i)]

    Each step draws a mini-batch by index from data held on the device, evaluates the objective on
    the two programs, and lets one optimiser move both groups of parameters: Pyro's SVI, with
    torch's optimisers. Before the first step both programs are checked
    (:func:`pyro_vae.explain`); the random numbers outside stay as they were.

    Kingma and Welling 2014, *Auto-Encoding Variational Bayes*, algorithm 1.

    Args:
        model, guide: any Pyro programs; called as ``model(x)``, or with the parts of a tuple.
        data: a tensor or array ``(n, *event)``, a tuple of them, or a
            :class:`pyro_vae.data.Dataset` (which brings its validation part and transform).
        objective: ours or Pyro's, e.g. ``pyro.infer.Trace_ELBO()``. Default ``ELBO()``.
        optim: ``groups -> torch.optim.Optimizer`` (a class, a function), or a ``pyro.optim``
            object. Default Adam at 2e-3.
        lr, lr_guide: learning rates of theta and phi, before those that ``optim`` holds;
            ``lr`` alone is for both.
        schedule: of the learning rates over the run: ``"cosine"`` (to zero), ``"linear"``,
            ``"constant"``, or a function from the part done, in [0, 1], to a factor.
        epochs: passes over the data, in all; a resumed run goes on to this number, and where it
            is a larger one, the schedule from then on is the longer run's.
        batch_size: examples in a mini-batch.
        validation: data whose plain ELBO is measured after each epoch, untransformed.
        patience: stop after this many epochs without a better validation ELBO.
        restore_best: with validation data, end with the weights of the best epoch.
        transform: applied to the first argument of each mini-batch, e.g. binarisation.
        clip_norm: greatest norm of the gradient (of the mean loss per example).
        seed: of the order of the data and of everything drawn in training.
        device: ``"auto"``, or a torch device; the programs' modules are moved there.
        strategy: which parameters a step moves: ``Joint()``, the default; ``Alternating(5)``,
            five steps of phi for each of theta; ``Aggressive()``, phi until it gains no more.
        compile: run the loss and its gradients as one compiled function (see
            :class:`CompiledSVI`); ``"auto"`` does where the run has so many steps that the
            seconds of compiling pay. What cannot be compiled runs as it is, after one warning
            that says why.
        precision: ``"float32"``; ``"tf32"``, faster products on NVIDIA GPUs; or ``"bf16"``,
            products of layers in bfloat16, with weights and log-densities in single precision.
        checkpoint: file to keep the whole state in, every ``checkpoint_every`` epochs and when
            the run ends or is interrupted.
        resume: a checkpoint to go on from, bit for bit as if never interrupted. Data and options
            must be the same, but for ``epochs``, ``patience``, ``restore_best``, ``device`` and
            those below ``device`` here.
        loggers: objects with ``log(row, step)``, called after each epoch.
        progress: True for a bar, False for silence, ``None`` to choose by the terminal.

    Returns:
        The :class:`History`, a row an epoch: means over the epoch's steps of the loss and, with
        an objective of ours, of the plain ELBO, reconstruction and KL; the same of the validation
        data; seconds spent in steps so far; the learning rates at which the run goes on.

    Raises:
        ProgramError: the programs do not make the bound (the message names site and cure).
        TrainingError: a loss or a weight is not finite; the weights are put back to the last that
            were good, those after the epoch before.
        ValueError, TypeError: an option, the data or the checkpoint are unusable.
        OSError: the checkpoint cannot be written; the file that was there is whole.
        KeyboardInterrupt: after Ctrl-C, between two steps, when the checkpoint is safe.

    >>> from pyro_vae import data, likelihoods, networks, posteriors, priors
    >>> from pyro_vae.programs import vae
    >>> x = data.load("linear_gaussian").subset(64)
    >>> model = vae.Model(priors.StandardNormal(2), likelihoods.Normal(networks.MLP(2, 8, [])))
    >>> guide = vae.Guide(posteriors.DiagonalNormal(networks.MLP(8, 4, [])))
    >>> history = fit(model, guide, x, epochs=10, lr=2e-2, progress=False)
    >>> history["elbo"][-1] > history["elbo"][0]
    True
    """
    objective = ELBO() if objective is None else objective
    counts = {"epochs": epochs, "batch_size": batch_size, "checkpoint_every": checkpoint_every}
    check_options(objective, clip_norm, transform, loggers, patience=patience, **counts)
    check_precision(precision)
    strategy = as_strategy(strategy)
    if isinstance(data, Splits):
        validation = data.valid if validation is None else validation
        transform = data.transform if transform is None else transform
        data = data.train
    if patience is not None and validation is None:
        raise ValueError("patience needs validation data: give validation=")
    place = pick_device(device, model, guide)  # first: it may start CUDA and its random numbers
    with isolated_randomness(seed), gradients():
        train = tuple(t.to(place) for t in as_arguments(data, "data"))
        valid = None
        if validation is not None:
            valid = tuple(t.to(place) for t in as_arguments(validation, "validation"))
        move(place, model, guide)
        steps = steps_per_epoch(len(train[0]), batch_size)
        inform(objective, len(train[0]), steps, place)
        found = examine(model, guide, train, valid, transform, objective, batch_size)
        checkup = found.checkup
        optimizer = make_optimizer(
            checkup.theta.values(), checkup.phi.values(), optim, lr, lr_guide, *critic_of(objective)
        )
        state = None if resume is None else files.load(resume, map_location=place)
        compiled = pays(compile, epochs * steps, place, begun_compiled(state))
        settings = {
            "seed": seed,
            "batch_size": batch_size,
            "clip_norm": clip_norm,
            "compile": compiled,
            "precision": precision,
            "strategy": strategy.describe(),
            "transform": transform is not None,
            "data": fingerprint(train),
            "validation": fingerprint(valid),
            **describe(objective, optimizer, schedule),
        }
        weights = Weights(model, guide, checkup, found.called, objective)
        rates = make_schedule(optimizer, schedule, epochs * steps)
        run = Run(weights, optimizer, rates, settings, strategy)
        keeper = Keeper(checkpoint, checkpoint_every)
        if state is not None:
            run.load_state_dict(state, epochs)
        bar = Progress(epochs, steps, progress, start_epoch=run.epoch)
        parts = (model, guide, objective, optimizer, clip_norm, precision)
        step = EagerStep(*parts)
        if compiled:
            size, joint = min(batch_size, len(train[0])), isinstance(strategy, Joint)
            step = CompiledStep(*parts, batch_size=size, joint=joint, listener=bar.note)
        loop = Loop(run, step, train, valid, transform, keeper, tuple(loggers))
        try:
            with held_back() as interrupt, bar:
                loop(epochs, patience, bar, interrupt)
                if restore_best and run.best is not None:
                    run.weights.load(run.best)
        finally:
            optimizer.zero_grad(set_to_none=True)
    return run.history
