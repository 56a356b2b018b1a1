"""The VAE that a PyTorch user writes: no distributions, the KL by its formula."""

from __future__ import annotations

import math

import torch
from setting import Setting, Step
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus


class HandWritten(nn.Module):
    """Gives the loss, summed over the batch: of the ELBO, or of IWAE where there are samples."""

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.encoder, self.decoder = setting.networks()
        self.particles = setting.particles

    def forward(self, x: Tensor) -> Tensor:
        loc, raw = self.encoder(x).chunk(2, -1)
        scale = softplus(raw) + 1e-6
        if self.particles == 1:
            z = loc + scale * torch.randn_like(loc)
            nll = binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
            return nll + 0.5 * (loc.square() + scale.square() - 1.0 - 2.0 * scale.log()).sum()
        noise = torch.randn(self.particles, *loc.shape, device=loc.device)
        z = loc + scale * noise
        logits = self.decoder(z)
        terms = binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
        log_p = -terms.flatten(2).sum(-1) - 0.5 * z.square().sum(-1)
        log_q = -0.5 * noise.square().sum(-1) - scale.log().sum(-1)
        bound = torch.logsumexp(log_p - log_q, 0) - math.log(self.particles)
        return -bound.sum()


def step(setting: Setting, compiled: bool) -> Step:
    """The usual loop with the fused Adam, eager or under ``torch.compile``."""
    if compiled:
        torch._dynamo.reset()  # it refuses to compile one function for many sizes
    module = HandWritten(setting).to(setting.device)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True)
    loss_of = torch.compile(module, fullgraph=True) if compiled else module
    x = setting.x()

    def run() -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x)
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def graphed_step(setting: Setting) -> Step:
    """The same on a GPU, captured whole in a CUDA graph, as an expert would."""
    module = HandWritten(setting).to(setting.device)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, fused=True, capturable=True)
    x = setting.x()

    def run() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = module(x)
        loss.backward()
        optimizer.step()
        return loss

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = run()

    def replay() -> float:
        graph.replay()
        return loss.item()

    return replay


def lightning_turn(setting: Setting, steps: int = 40):
    """Seconds a step of Lightning's trainer, without its setting up; ``None`` if it is absent."""
    try:
        from lightning import LightningModule, Trainer
        from lightning.pytorch.callbacks import Callback
        from torch.utils.data import DataLoader
    except ImportError:
        return None
    import logging
    import time
    import warnings

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Clock(Callback):
        def on_train_batch_start(self, trainer, module, batch, number) -> None:
            if number == 5:
                self.began = time.perf_counter()

        def on_train_end(self, trainer, module) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds = (time.perf_counter() - self.began) / (steps - 5)

    class Wrapped(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.vae = HandWritten(setting)

        def training_step(self, batch: Tensor, number: int) -> Tensor:
            return self.vae(batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=1e-3, fused=True)

    module, x, clock = Wrapped(), setting.x(), Clock()

    def turn() -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = Trainer(
                max_steps=steps, accelerator="gpu" if x.is_cuda else "cpu", devices=1, logger=False,
                enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
                callbacks=[clock],
            )  # fmt: skip
            trainer.fit(module, DataLoader([x] * steps, batch_size=None))
        return clock.seconds

    return turn
