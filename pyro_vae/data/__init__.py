"""Data: embedded, published, synthetic with known truth, and the user's own."""

from pyro_vae.data.cache import cache_folder
from pyro_vae.data.dataset import Dataset, dynamic_binarization
from pyro_vae.data.digits import digits
from pyro_vae.data.files import load_file
from pyro_vae.data.linear_gaussian import LinearGaussian
from pyro_vae.data.registry import describe, fetch, load, names
from pyro_vae.data.synthetic import linear_gaussian

__all__ = [
    "Dataset",
    "LinearGaussian",
    "cache_folder",
    "describe",
    "digits",
    "dynamic_binarization",
    "fetch",
    "linear_gaussian",
    "load",
    "load_file",
    "names",
]
