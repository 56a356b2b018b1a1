"""The programs: a family a file, its ``Model`` and ``Guide`` side by side."""

from . import vae
from .pair import VAE
from .registration import Program

__all__ = ["VAE", "Program", "vae"]
