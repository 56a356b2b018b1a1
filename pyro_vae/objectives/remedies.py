"""What helps a latent that says nothing of the data."""

from __future__ import annotations

from collections.abc import Sequence


def remedies(site: str, others: Sequence[str] = (), classes: bool = False) -> tuple[str, ...]:
    """A line for each remedy, in the terms of this site.

    Args:
        site: the latent that is not used.
        others: the other latents of the guide, which are used in its place.
        classes: whether the latent is a class, and has no dimensions.

    >>> remedies("y", ["z"], classes=True)[0]
    "let its KL in slowly: SiteBetaELBO({'y': Linear(2000)})"
    """
    if not others and not classes:
        return (
            "warm the KL up: BetaELBO(beta=Linear(2000)), or Cyclical",
            "leave each dimension some nats for free: FreeBits(nats=0.1)",
            "let the guide catch up: fit(strategy=Aggressive()), or a weaker decoder",
        )
    lines = [f"let its KL in slowly: SiteBetaELBO({{{site!r}: Linear(2000)}})"]
    if classes:
        lines.append(f"leave it some nats for free: FreeBits(0.5, per='site', site={site!r})")
        lines.append("where labels teach it, tell more of them, or let them count for more")
    else:
        lines.append(
            f"leave each of its dimensions some nats for free: FreeBits(0.1, site={site!r})"
        )
    if others:
        names = " and ".join(map(repr, others))
        lines.append(f"leave less to {names}: fewer dimensions there")
    return tuple(lines)
