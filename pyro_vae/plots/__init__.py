"""Tensors in, matplotlib Axes out.

Every function draws on the Axes it is given, or on a new pyplot figure (which a notebook
displays by itself); none shows, saves or closes it, or changes matplotlib's settings. `save`
writes a picture to a file and closes its figure. `explorer` alone writes a web page instead.
"""

from pyro_vae.plots.decoding import manifold, traversals
from pyro_vae.plots.explorer import explorer
from pyro_vae.plots.files import save
from pyro_vae.plots.grids import images, reconstructions, samples
from pyro_vae.plots.history import curves
from pyro_vae.plots.latent import kl_per_dimension, latent_scatter
from pyro_vae.plots.rate_distortion import rate_distortion

__all__ = [
    "curves",
    "explorer",
    "images",
    "kl_per_dimension",
    "latent_scatter",
    "manifold",
    "rate_distortion",
    "reconstructions",
    "samples",
    "save",
    "traversals",
]
