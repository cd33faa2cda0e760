"""Payouts out of income: each buyback adds to every trader by its share, until a target is spent; and how an inactive trader expires.

Source: the contract PerpBuyback of gov.perp.fi topic 920, which pays the shutdown's compensation. Shares are parts per
million that add up to a million. Every product is floored, and the dust of a buyback belongs to nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

from perpcomp.findings import refusal

# Source: SHARE_SCALE of the contract: parts per million.
MILLION = 1_000_000


@dataclass(frozen=True)
class Stream:
    """A stream as the contract holds it. All amounts are base units.

    `target` is what is spent in all and `left` what of it is not spent yet, in the token of the income; `shares` are parts per million
    of each trader; `claimable` is what each trader may claim, in the token bought; `dust` is what nobody got of it.
    """

    target: int
    left: int
    shares: Mapping[str, int]
    claimable: Mapping[str, int]
    dust: int = 0


def begin(target: int, shares: Mapping[str, int]) -> Stream:
    """A stream that has spent nothing. InputError where the shares do not add up to a million."""
    _check(shares)
    return Stream(target, target, dict(shares), dict.fromkeys(shares, 0))


def buy(stream: Stream, income: int, bought: int) -> Stream:
    """The stream after a buyback: of `income` at most what is left is spent, for `bought` of the other token.

    InputError where the target is spent.
    """
    if not stream.left:
        raise refusal("the stream", f"The target of {stream.target} is spent, so nothing more is bought.", "Leave later income out.")
    return replace(_add(stream, bought), left=max(0, stream.left - income))


def claim(stream: Stream, trader: str) -> Stream:
    """The stream after a trader claimed all that it could."""
    return replace(stream, claimable={**stream.claimable, trader: 0})


def expire(stream: Stream, inactive: set[str], shares: Mapping[str, int]) -> Stream:
    """The stream without inactive traders: what they did not claim goes to the others by their new shares.

    What is left to spend falls by the inactive traders' part of the target, spent or not: the others are paid sooner, not more.
    InputError where the new shares do not add up to a million, or name others than the traders who stay.
    """
    _check(shares)
    unknown = sorted(inactive - stream.shares.keys())
    if unknown:
        raise refusal("the stream", f"{', '.join(unknown)} has no share, so it cannot expire.", "Name traders of the stream.")
    if shares.keys() != stream.shares.keys() - inactive:
        wrong = ", ".join(sorted(shares.keys() ^ (stream.shares.keys() - inactive)))
        raise refusal("the stream", f"The new shares and the traders who stay differ in {wrong}.", "Give each of those who stay a share.")
    cut = stream.target * sum(stream.shares[trader] for trader in inactive) // MILLION
    unclaimed = sum(stream.claimable[trader] for trader in inactive)
    kept = {trader: stream.claimable[trader] for trader in shares}
    return _add(replace(stream, left=max(0, stream.left - cut), shares=dict(shares), claimable=kept), unclaimed)


def months(total: int, share: Fraction, monthly_income: int) -> int:
    """How many months a total takes, of which a share of a monthly income pays a part each month."""
    if not share or not monthly_income:
        raise refusal("the stream", "It has no income, so it never ends.", "State a share and an income above 0.")
    return ceil(total / (share * monthly_income))


def _add(stream: Stream, bought: int) -> Stream:
    added = {trader: bought * share // MILLION for trader, share in stream.shares.items()}
    claimable = {trader: units + added[trader] for trader, units in stream.claimable.items()}
    return replace(stream, claimable=claimable, dust=stream.dust + bought - sum(added.values()))


def _check(shares: Mapping[str, int]) -> None:
    for trader, share in shares.items():
        if share < 0:
            raise refusal("the stream", f"{trader} has a share of {share}.", "A share is 0 or more.")
    total = sum(shares.values())
    if total != MILLION:
        raise refusal("the stream", f"The shares add up to {total:,} parts per million, not 1,000,000.", "Correct them.")
