"""Funding of a Perps V2 market: a rate that changes with the skew, accumulated in a sequence of entries. Integers of 1e-18, truncated."""

from typing import NamedTuple

from perpcomp.fixed import ONE, div_integers, mul_integers
from perpcomp.guards.rules.parameters import Parameters

DAY = 86_400  # seconds


class Funding(NamedTuple):
    """A market's funding at its last recomputation: the newest entry of the sequence (sUSD per unit of the asset) and the rate (/1 a day)."""

    entry: int
    rate: int
    recomputed_at: int  # unix seconds


def velocity(skew: int, parameters: Parameters) -> int:
    """The change of the rate in a day: skew / skew scale, clamped to -1 ... 1, times the largest velocity."""
    proportional = max(-ONE, min(ONE, div_integers(skew, parameters.skew_scale)))
    return mul_integers(proportional, parameters.max_funding_velocity)


def _elapsed(funding: Funding, now: int) -> int:
    """Days since the last recomputation, 1e-18."""
    return (now - funding.recomputed_at) * ONE // DAY


def rate(funding: Funding, skew: int, now: int, parameters: Parameters) -> int:
    """The rate (/1 a day) at a time: + longs pay, shorts receive."""
    return funding.rate + mul_integers(velocity(skew, parameters), _elapsed(funding, now))


def unrecorded(funding: Funding, skew: int, price: int, now: int, parameters: Parameters) -> int:
    """sUSD that one unit has accrued since the last recomputation, + a long receives: -(mean rate) * time * price."""
    mean = div_integers(funding.rate + rate(funding, skew, now, parameters), 2 * ONE)
    return mul_integers(mul_integers(-mean, _elapsed(funding, now)), price)


def recomputed(funding: Funding, skew: int, price: int, now: int, parameters: Parameters) -> Funding:
    """The funding that a recomputation at this time would store."""
    entry = funding.entry + unrecorded(funding, skew, price, now, parameters)
    return Funding(entry, rate(funding, skew, now, parameters), now)
