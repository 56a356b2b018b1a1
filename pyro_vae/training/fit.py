"""Joint optimisation of theta and phi."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pyro.infer import ELBO as PyroELBO
from torch import Tensor, nn

from pyro_vae.objectives import ELBO

from . import checkpoint as files
from .batches import steps_per_epoch
from .examine import examine
from .history import History
from .loggers import Logger
from .loop import Loop
from .optimizer import Optim, Schedule, make_optimizer, make_schedule
from .progress import Progress
from .randomness import isolated_randomness
from .run import Run
from .settings import Splits, as_arguments, check_options, pick_device
from .step import EagerStep
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
        optim: ``groups -> torch.optim.Optimizer`` or a ``pyro.optim`` object. Default Adam.
        lr, lr_guide: learning rates of theta and phi; default 2e-3 for both.
        schedule: of the learning rates over the run: ``"cosine"`` (to zero), ``"linear"``,
            ``"constant"``, or a function from the part done, in [0, 1], to a factor.
        epochs: passes over the data, in all (a resumed run goes on to this number).
        batch_size: examples in a mini-batch.
        validation: data whose plain ELBO is measured after each epoch.
        patience: stop after this many epochs without a better validation ELBO.
        restore_best: with validation data, end with the weights of the best epoch.
        transform: applied to the first argument of each mini-batch, e.g. binarisation.
        clip_norm: greatest norm of the gradient (of the mean loss per example).
        seed: of the order of the data and of everything drawn in training.
        device: ``"auto"``, or a torch device; programs that are modules are moved there.
        checkpoint: file to keep the whole state in, every ``checkpoint_every`` epochs and when
            the run ends or is interrupted.
        resume: a checkpoint to go on from, bit for bit as if never interrupted.
        loggers: objects with ``log(row, step)``, called after each epoch.
        progress: True for a bar, False for silence, ``None`` to choose by the terminal.

    Returns:
        The :class:`History`, a row an epoch: means of the ELBO, reconstruction and KL over the
        epoch's steps, the same of the validation data, seconds and learning rates.

    Raises:
        ProgramError: the programs do not make the bound (the message names site and cure).
        TrainingError: the loss is not finite; weights are put back to the last good epoch.
        ValueError: an option or the data are unusable.
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
    check_options(
        epochs=epochs, batch_size=batch_size, patience=patience, checkpoint_every=checkpoint_every
    )
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm must be positive, not {clip_norm}")
    objective = ELBO() if objective is None else objective
    if not isinstance(objective, PyroELBO):
        raise TypeError(f"objective must be a pyro.infer.ELBO, not {type(objective).__name__}")
    if isinstance(data, Splits):
        validation = data.valid if validation is None else validation
        transform = data.transform if transform is None else transform
        data = data.train
    place = pick_device(device, model, guide)
    for program in (model, guide):
        if isinstance(program, nn.Module):
            program.to(place)
    train = tuple(t.to(place) for t in as_arguments(data, "data"))
    valid = None
    if validation is not None:
        valid = tuple(t.to(place) for t in as_arguments(validation, "validation"))
    if patience is not None and valid is None:
        raise ValueError("patience needs validation data: give validation=")
    with isolated_randomness(seed):
        found = examine(model, guide, train, transform, objective, batch_size)
        optimizer = make_optimizer(found.theta.values(), found.phi.values(), optim, lr, lr_guide)
        steps = steps_per_epoch(len(train[0]), batch_size)
        run = Run(
            weights=Weights(model, guide, found),
            optimizer=optimizer,
            scheduler=make_schedule(optimizer, schedule, epochs * steps),
            settings={"seed": seed, "batch_size": batch_size, "examples": len(train[0])},
        )
        if resume is not None:
            run.load_state_dict(files.load(resume, map_location=place))
        loop = Loop(
            run,
            EagerStep(model, guide, objective, optimizer, clip_norm),
            train,
            valid,
            transform,
            {**found.theta, **found.phi},
            None if checkpoint is None else Path(checkpoint),
            checkpoint_every,
            tuple(loggers),
        )
        with Progress(epochs, steps, progress, start_epoch=run.epoch) as bar:
            loop(epochs, patience, bar)
        if restore_best and run.best is not None:
            run.weights.load(run.best)
    return run.history
