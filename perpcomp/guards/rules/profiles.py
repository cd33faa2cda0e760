"""The two readings of SIP-2005, side by side: its text, and the contracts that were deployed. Every difference in behaviour is a row here.

A rule that the text leaves open is no choice between two readings: the contracts' answer is used in both, and the table says so.
"""

from dataclasses import dataclass, fields
from enum import Enum


class Flaggable(Enum):
    """When an account may be flagged. No rounding hides the difference: at equality the two answer differently."""

    BELOW = "remaining margin < liquidation margin"
    AT_OR_BELOW_WITH_PREMIUM = "remaining margin - liquidation premium <= liquidation margin, the premium being that of its own size"


class FeeBounds(Enum):
    """Which bound of the keeper fee wins where the smaller one is above the larger one (the larger one never set: 0)."""

    MAXIMUM_WINS = "min(max(notional * ratio, minKeeperFee), maxKeeperFee)"
    MINIMUM_WINS = "max(min(notional * ratio, maxKeeperFee), minKeeperFee)"


class Reward(Enum):
    """When the flagger is paid, and so at which price the fee is computed."""

    AT_FLAG = "at once, by the price of the flag"
    AT_LIQUIDATION = "when the position is liquidated, by the price of that moment; nothing before"


class Endorsed(Enum):
    """How an endorsed account liquidates past the guards."""

    BY_CALLER = "one action: an endorsed caller passes the guards and is paid nothing"
    BY_ENTRY_POINT = "a second entry point, forceLiquidatePosition; in liquidatePosition an endorsed caller is anybody: guarded, and paid"


class PendingOrder(Enum):
    """What a flag does to a delayed order that waits."""

    CANCELLED = "cancelled as by its owner: the keeper deposit goes back to the margin, DelayedOrderRemoved is logged"
    DELETED = "deleted: the keeper deposit is minted to the flagger at once, no event of the order is logged"


@dataclass(frozen=True)
class Profile:
    """One reading of SIP-2005. Each field is one question, with the answer as its value."""

    name: str
    flaggable: Flaggable
    fee_bounds: FeeBounds
    reward: Reward
    endorsed: Endorsed
    pending_order: PendingOrder


QUESTIONS = {
    "flaggable": "May be flagged when",
    "fee_bounds": "Fee of the flagger",
    "reward": "The flagger is paid",
    "endorsed": "An endorsed account liquidates by",
    "pending_order": "A pending order at the flag is",
}

# What the text does not say. Both profiles do what the contracts do.
SILENT = {
    "The liquidation margin": "contains the liquidator's fee, also where a forced liquidation pays none",
    "The price impact that is limited": "|size| / skewScale: the change of the next unit's price; the average fill moves by half of it",
    "A limit that was never set": "is 0, which nothing is below: only endorsed accounts can liquidate",
    "Margin left after the fees goes": "to the fee pool, all of it, also when the account is healthy again",
    "The premium or discount that is limited": "that before the liquidation: what the liquidation does to the skew counts neither way",
    "A stale price, a tripped circuit or a suspension": "stops every call, a forced liquidation too",
    "The view canLiquidate and the circuit breaker": "the view does not see it: it may say yes where the flag reverts",
    "While flagged, withdrawing and submitting an order": "revert like a deposit; a flag ends by a liquidation only",
}

SIP = Profile("the SIP's text", Flaggable.BELOW, FeeBounds.MAXIMUM_WINS, Reward.AT_FLAG, Endorsed.BY_CALLER, PendingOrder.CANCELLED)
DEPLOYED = Profile(
    "the deployed code",
    Flaggable.AT_OR_BELOW_WITH_PREMIUM,
    FeeBounds.MINIMUM_WINS,
    Reward.AT_LIQUIDATION,
    Endorsed.BY_ENTRY_POINT,
    PendingOrder.DELETED,
)


def differences() -> list[tuple[str, str, str]]:
    """(question, the SIP's text, the deployed code) a row, made from the profiles; then what the text leaves open."""
    rows = [
        (QUESTIONS[field.name], getattr(SIP, field.name).value, getattr(DEPLOYED, field.name).value)
        for field in fields(Profile)
        if field.name != "name"
    ]
    return rows + [(question, "(not said)", answer) for question, answer in SILENT.items()]
