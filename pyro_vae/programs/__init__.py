"""The programs: a family a file, its ``Model`` and ``Guide`` side by side."""

from . import vae
from .joint import LogJoint, log_joint
from .pair import VAE
from .registration import Program

__all__ = ["VAE", "LogJoint", "Program", "log_joint", "vae"]
