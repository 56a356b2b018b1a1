"""The kernels that an objective takes are offered beside it."""

from __future__ import annotations

import pytest

from pyro_vae import objectives


@pytest.mark.parametrize("kind", ["RBF", "InverseMultiquadratic"])
def test_a_kernel_is_found_where_its_objective_is(kind):
    kernel = getattr(objectives, kind)([0.5, 2.0])
    assert kind in objectives.__all__ and isinstance(kernel, objectives.Kernel)
    assert objectives.InfoELBO(kernel=kernel).kernel is kernel
