"""Invertible maps of vectors, and the networks that steer them. No probability."""

from .autoregressive import Autoregressive, MaskedNetwork
from .bijection import Bijection, Inverse
from .coupling import Coupling
from .elementwise import Affine, Elementwise
from .householder import Householder
from .planar import Planar
from .spline import RationalQuadratic
from .sylvester import Sylvester

__all__ = [
    "Affine",
    "Autoregressive",
    "Bijection",
    "Coupling",
    "Elementwise",
    "Householder",
    "Inverse",
    "MaskedNetwork",
    "Planar",
    "RationalQuadratic",
    "Sylvester",
]
