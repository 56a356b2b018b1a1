"""A latent of vectors from a codebook."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from pyro_vae.programs import VAE
from pyro_vae.programs.code_priors import AutoregressiveCodes, IndependentCodes
from pyro_vae.programs.codebook import Codebook
from pyro_vae.programs.vector_quantised import Guide, Model

from .base import Family
from .parts import Parts
from .view import Finding, View, line


class vector_quantised(Family):
    """A latent of several vectors of a learned codebook: p(k) p(x|e_k), and q a point.

    The codebook begins with encodings of data, so that all of it is used.

    van den Oord, Vinyals and Kavukcuoglu 2017, *Neural Discrete Representation Learning*.

    Args:
        codes: vectors in a latent.
        size: vectors in the codebook.
        width: numbers in each vector.
        commitment: weight that draws the encoding to its vector.
        codes_prior: each code by itself, or given those before it, which samples better.

    >>> vector_quantised(size=32).size
    32
    """

    latent = None
    unused: ClassVar[dict[str, str]] = {
        "prior": "it is one of codes: give --program.codes_prior",
        "posterior": "it is a point, the nearest vectors of the codebook",
        "latent": "give --program.codes and --program.width",
    }

    def __init__(
        self,
        codes: int = 8,
        size: int = 16,
        width: int = 4,
        commitment: float = 0.25,
        codes_prior: Literal["autoregressive", "independent"] = "autoregressive",
    ) -> None:
        self.codes = codes
        self.size = size
        self.width = width
        self.commitment = commitment
        self.codes_prior = codes_prior

    def programs(self, parts: Parts) -> VAE:
        book = Codebook(self.size, self.width, self.codes)
        in_order = self.codes_prior == "autoregressive"
        prior = AutoregressiveCodes(book) if in_order else IndependentCodes(book)
        latent = self.codes * self.width
        guide = Guide(parts.encoder(parts.shape, latent), book, self.commitment)
        return VAE(Model(prior, parts.likelihood(latent)), guide)

    def begin(self, programs: VAE, x: Tensor, *others: Tensor) -> None:
        guide: Any = programs.guide
        with torch.no_grad():
            needed = -(-self.size // self.codes)
            if len(x) < needed:
                raise ValueError(
                    f"--program.size {self.size}: the codebook begins with encodings of the data, "
                    f"and {len(x)} examples have {len(x) * self.codes}"
                )
            guide.codebook.place(guide.encoder(x[:10_000]))

    def findings(self, view: View) -> list[Finding]:
        counts = self._counts(view)
        share = counts / counts.sum()
        perplexity = float(torch.special.entr(share).sum().exp())
        used = int((counts > 0).sum())
        note = f"of {self.size} vectors, perplexity {perplexity:.1f}"
        return [
            Finding("codes_used", used, line("codes used", str(used), note)),
            Finding("code_perplexity", perplexity, ""),
        ]

    def pictures(self, view: View) -> Iterator[tuple[str, Any]]:
        import matplotlib.pyplot as plt

        counts = self._counts(view).cpu()
        share = (counts / counts.sum()).sort(descending=True).values
        _, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
        ax.bar(range(1, self.size + 1), share.tolist(), width=0.8)
        ax.axhline(1 / self.size, color="0.5", linewidth=1, linestyle=":")
        ax.set(xlabel="vectors of the codebook, the most used first", ylabel="share of the codes")
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_title("use of the codebook (dotted: all alike)", fontsize=9, loc="left")
        yield "codebook", ax

    def _counts(self, view: View) -> Tensor:
        """How often each vector is the nearest, over examples and codes."""
        guide: Any = view.guide
        with torch.no_grad():
            k = guide.codebook.nearest(guide.encoder(view.x))
        return k.flatten().bincount(minlength=self.size)
