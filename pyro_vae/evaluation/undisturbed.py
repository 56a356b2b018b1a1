"""Evaluation changes nothing: the one place that sees to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyro
import torch

from pyro_vae.checks import modules_of
from pyro_vae.terms import untouched_randomness
from pyro_vae.terms.passes import Program


@contextmanager
def undisturbed(*programs: Program, seed: int = 0) -> Iterator[None]:
    """Run programs without gradients, in eval mode and from ``seed``, and put all of it back.

    Parameters, buffers, ``.grad``, each submodule's train flag and the global random numbers are
    afterwards what they were. For a bare function the modules are those that it uses by name.

    Pyro's validation is off inside, which makes a pass faster; the checks that matter are made
    once, in words of our own (``checks``).

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    >>> with undisturbed(net): net.training, net[1].training, torch.is_grad_enabled()
    (False, False, False)
    >>> net[1].training
    True
    """
    modules = [module for program in programs for _, module in modules_of(program)]
    modes = [(m, m.training) for module in modules for m in module.modules()]
    try:
        for module in modules:
            module.eval()
        with torch.no_grad(), pyro.validation_enabled(False), untouched_randomness(seed):
            yield
    finally:
        for m, mode in modes:
            # Not `m.train(mode)`, which sets the children too, and which a class may override.
            m.training = mode
