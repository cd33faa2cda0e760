"""The two readings of SIP-2005: its text and the deployed contracts. Every difference in behaviour is one field of Profile.

Where the text says nothing there are no two readings: both profiles do what the contracts do, and SILENT lists it.
"""

from dataclasses import dataclass, fields
from enum import Enum


class Flaggable(Enum):
    """When an account may be flagged. At equality the two readings differ."""

    BELOW = "remaining margin < liquidation margin"
    AT_OR_BELOW_WITH_PREMIUM = "remaining margin - liquidation premium <= liquidation margin, the premium being that of its own size"


class FeeBounds(Enum):
    """Which bound of the keeper fee wins where minKeeperFee is above maxKeeperFee (as where maxKeeperFee was never set: 0)."""

    MAXIMUM_WINS = "min(max(notional * ratio, minKeeperFee), maxKeeperFee)"
    MINIMUM_WINS = "max(min(notional * ratio, maxKeeperFee), minKeeperFee)"


class Reward(Enum):
    """When the flagger is paid, which is also the time of the price in the fee."""

    AT_FLAG = "at the flag, by the price of the flag"
    AT_LIQUIDATION = "at the liquidation, by the price of the liquidation; nothing before"


class Endorsed(Enum):
    """How an endorsed account liquidates although a limit blocks it."""

    BY_CALLER = "the same call as anybody: an endorsed caller skips the limits and is paid nothing"
    BY_ENTRY_POINT = "a second entry point, forceLiquidatePosition; in liquidatePosition the limits apply to an endorsed caller, who is paid like anybody"


class PendingOrder(Enum):
    """What a flag does to a pending delayed order."""

    CANCELLED = "cancelled as by its owner: the keeper deposit returns to the margin, and DelayedOrderRemoved is logged"
    DELETED = "deleted: the keeper deposit is minted to the flagger at once, and no event of the order is logged"


@dataclass(frozen=True)
class Profile:
    """One reading of SIP-2005. Each field is a question of QUESTIONS, and its value is the answer."""

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
    "The liquidation margin": "contains the liquidator's fee, even where a forced liquidation pays none",
    "The price impact that is limited": "is |size| / skewScale, the change of the next unit's price; the average fill price changes by half of it",
    "A limit that was never set": "is 0, and no ratio is below 0: only endorsed accounts can liquidate",
    "Margin left after the fees goes": "to the fee pool, all of it, even when the account has recovered",
    "The premium or discount that is limited": "is that before the liquidation; the liquidation's own effect on the skew does not count",
    "A stale price, a tripped circuit or a suspension": "stops every call, even a forced liquidation",
    "The view canLiquidate and a suspended market": "the view does not check it: it may return true where the flag reverts",
    "While flagged, withdrawing and submitting an order": "revert like a deposit; only a liquidation ends a flag",
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
    """Rows of (question, the SIP's text, the deployed code), made from the two profiles; then what the text does not say."""
    rows = [
        (QUESTIONS[field.name], getattr(SIP, field.name).value, getattr(DEPLOYED, field.name).value)
        for field in fields(Profile)
        if field.name != "name"
    ]
    return rows + [(question, "(not said)", answer) for question, answer in SILENT.items()]
