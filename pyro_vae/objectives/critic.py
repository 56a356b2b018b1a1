"""What objectives have in common that train a critic of z beside theta and phi."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import softplus

from pyro_vae.networks import MLP
from pyro_vae.terms.errors import ProgramError
from pyro_vae.terms.kl import KL
from pyro_vae.terms.latents import posterior_draws
from pyro_vae.terms.table import Terms

from .argument_checks import check_positive
from .regularised import RegularisedELBO

#: Of the moving averages: they see some hundred steps.
_NEW = 0.01


class CriticELBO(RegularisedELBO):
    r"""A penalty by a critic: a network that tells draws of q(z) from others.

    Its output :math:`\ell(z)` is a logit; trained to the end it is
    :math:`\log q(z) - \log r(z)` for the others' density r.

    One backward pass serves both players. In the bound that theta and phi climb, the critic's
    parameters are held; to it the critic's own gain is added with its gradient alone, on z that is
    held, so that the value is that of the bound:

    .. math:: \text{bound} + g - \mathrm{stop}(g), \qquad
        g = -\tfrac12 N\,\bigl(\mathbb E_{q(z)}[\log(1 + e^{-\ell})]
        + \mathbb E_{r(z)}[\log(1 + e^{\ell})]\bigr).

    Attributes:
        critic: the network; a default one is made at the first use, for the latent's length.
        critic_lr: its learning rate in :func:`pyro_vae.fit`, ``None`` for that of the model.
        critic_accuracy: moving average of the part of all draws that it tells rightly.
        critic_share: moving average of the probability that it gives to q(z) over all draws, a
            half if it is fair.

    An accuracy of a half is what success looks like, and a critic that has not learnt: the
    plain ELBO's KL, reported beside the loss, tells them apart.

    To add one: a ``penalty`` made of ``held`` and ``own_loss``.
    """

    critic_accuracy: Tensor
    critic_share: Tensor

    def __init__(
        self,
        critic: nn.Module | None = None,
        critic_lr: float | None = None,
        site: str | None = None,
        kl: KL = "auto",
        particles: int = 1,
        vectorize: bool = True,
    ) -> None:
        super().__init__(site, kl, particles, vectorize)
        if critic_lr is not None:
            check_positive("critic_lr", critic_lr)
        self.critic = critic
        self.critic_lr = critic_lr
        for name in ("critic_accuracy", "critic_share"):
            self.register_buffer(name, torch.tensor(0.5, dtype=torch.float64))

    def prepare(self, terms: Terms) -> None:
        """Make the default critic, where none was given, like the latent in type and place."""
        if self.critic is None:
            z = posterior_draws(terms, self.latent(terms))
            network = MLP(z.shape[-1], 1, (256, 256), "leaky_relu")
            self.critic = network.to(device=z.device, dtype=z.dtype)

    def warnings(self) -> list[str]:
        """Whether the critic has won, lost or collapsed, by the moving averages."""
        name, accuracy, share = type(self).__name__, *map(float, self._averages())
        remedy = "set critic_lr"
        if not 0.05 <= share <= 0.95:
            return [
                f"the critic of {name} has collapsed: it gives {share:.0%} to q(z) whatever it is "
                f"shown, so its gradient says nothing; {remedy} lower, or give it another network"
            ]
        if accuracy > 0.95:
            return [
                f"the critic of {name} has won: it tells {accuracy:.0%} of draws rightly, and a "
                f"penalty from so sure a critic is unreliable; {remedy} lower, or raise the "
                "penalty's weight"
            ]
        if accuracy < 0.4:
            return [
                f"the critic of {name} has lost: it tells only {accuracy:.0%} of draws rightly, "
                f"less than a guess; {remedy} higher, or lower the learning rate of the rest"
            ]
        return []

    def held(self, z: Tensor) -> Tensor:
        """The logits of z, with a gradient in z and none in the critic; the shape without the last
        dimension."""
        network = self._network()
        fixed = {name: parameter.detach() for name, parameter in network.named_parameters()}
        return _logits(functional_call(network, fixed, (z,)), z)

    def own_loss(self, z: Tensor, others: Tensor) -> Tensor:
        """The critic's loss, less its value: a gradient in its parameters alone.

        Where gradients are on, the moving averages go on by one.
        """
        network = self._network()
        taken, given = (_logits(network(points.detach()), points) for points in (z, others))
        loss = 0.5 * (softplus(-taken).mean() + softplus(given).mean())
        if torch.is_grad_enabled():
            with torch.no_grad():
                accuracy, share = self._averages()
                right = 0.5 * ((taken > 0).double().mean() + (given <= 0).double().mean())
                # Probabilities: at the equilibrium they are near a half, their signs any.
                said = 0.5 * (taken.sigmoid().mean() + given.sigmoid().mean())
                accuracy.lerp_(right.to(accuracy), _NEW)
                share.lerp_(said.to(share), _NEW)
        return loss - loss.detach()

    def _averages(self) -> tuple[Tensor, Tensor]:
        return self.critic_accuracy, self.critic_share

    def _network(self) -> nn.Module:
        if self.critic is None:
            raise ProgramError(
                f"{type(self).__name__} has no critic yet: call prepare(terms) before bound(terms)"
            )
        return self.critic


def _logits(output: Tensor, z: Tensor) -> Tensor:
    """One number for each point, whether or not the network keeps a last dimension of 1."""
    if output.shape == (*z.shape[:-1], 1):
        return output.squeeze(-1)
    if output.shape != z.shape[:-1]:
        raise ProgramError(
            f"a critic maps z {tuple(z.shape)} to one logit each, {(*z.shape[:-1], 1)}, but this "
            f"one puts out {tuple(output.shape)}"
        )
    return output
