"""The same VAE in NumPyro, where it is installed (extra ``bench``); linear layers only."""

from __future__ import annotations

import time
from typing import Any

from interleave import Turn, looped
from setting import Setting

SCAN = 50  # steps in one call of lax.scan


def contenders(setting: Setting) -> dict[str, Turn]:
    """``jit(svi.update)``, and the same in ``lax.scan``; empty where NumPyro is absent."""
    try:
        import jax
        import numpyro
        import numpyro.distributions as dist
        from jax import lax
        from numpyro.infer import SVI, RenyiELBO, Trace_ELBO
    except ImportError:
        return {}
    if setting.conv or (setting.device == "cuda") != (jax.default_backend() == "gpu"):
        return {}

    def layer(name: str, x: Any, rows: int, columns: int) -> Any:
        key = jax.random.PRNGKey(rows + columns)
        bound = rows**-0.5
        weight = jax.random.uniform(key, (rows, columns), minval=-bound, maxval=bound)
        w = numpyro.param(f"{name}.w", weight)
        b = numpyro.param(f"{name}.b", jax.numpy.zeros(columns))
        return x @ w + b

    def network(name: str, x: Any, sizes: list[tuple[int, int]]) -> Any:
        for number, (rows, columns) in enumerate(sizes):
            x = layer(f"{name}{number}", x, rows, columns)
            x = jax.nn.silu(x) if number < len(sizes) - 1 else x
        return x

    half = len(setting.layers()) // 2

    def model(x: Any) -> None:
        with numpyro.plate("data", len(x)):
            prior = dist.Normal(jax.numpy.zeros(setting.latent), 1.0).to_event(1)
            z = numpyro.sample("z", prior)
            logits = network("decoder", z, setting.layers()[half:])
            numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x: Any) -> None:
        with numpyro.plate("data", len(x)):
            parameters = network("encoder", x, setting.layers()[:half])
            loc, raw = jax.numpy.split(parameters, 2, axis=-1)
            numpyro.sample("z", dist.Normal(loc, jax.nn.softplus(raw) + 1e-6).to_event(1))

    k = setting.particles
    bound = Trace_ELBO() if k == 1 else RenyiELBO(alpha=0, num_particles=k)
    x = jax.numpy.asarray(setting.x().cpu().numpy())
    svi = SVI(model, guide, numpyro.optim.Adam(1e-3), bound)
    state = svi.init(jax.random.PRNGKey(0), x)
    update = jax.jit(svi.update)
    many = jax.jit(lambda s: lax.scan(lambda s, _: svi.update(s, x), s, None, length=SCAN))
    held = {"jit": state, "scan": state}

    def step() -> float:
        held["jit"], loss = update(held["jit"], x)
        return float(loss)

    def scan(_steps: int) -> float:
        began = time.perf_counter()
        held["scan"], losses = many(held["scan"])
        losses.block_until_ready()
        return (time.perf_counter() - began) / SCAN

    return {"NumPyro, jit": looped(step), f"NumPyro, scan of {SCAN}": scan}
