"""What the simulation remembers of an account while keepers try to liquidate it, and what it reports in the end."""

from dataclasses import dataclass

from perpcomp.curve import Reserves
from perpcomp.guards.counterfactual.actions import Action, PastLiquidation
from perpcomp.guards.counterfactual.position import Closed

OUTCOMES = {
    "LIQUIDATED": "liquidated in the event in which it was flagged",
    "FLAGGED_THEN_LIQUIDATED": "liquidated in a later event than the flag, or after a recovery",
    "FORCED": "liquidated by an endorsed account although a limit blocked it",
    "FLAGGED": "still flagged at the end",
    "FLAGGED_THEN_RECOVERED": "flagged, then recovered and unflagged",
    "NEVER_FLAGGED": "never below maintenance when keepers tried it, because earlier liquidations were blocked",
    "NO_INDEX": "not judged: no index price was known",
    "NO_POSITION": "the position that history liquidated did not exist",
    "ELIGIBLE_HERE": "not liquidated in history, but liquidatable under these rules; keepers do not try it",
}


@dataclass
class Candidate:
    """An account that keepers try to liquidate, with the historical liquidations that wait for it."""

    trader: str
    waiting: list[PastLiquidation]
    flagged_at: int | None = None  # unix seconds of the last flag
    flag_price: int | None = None  # spot price then
    flag_action: int = -1  # number of the action at which it was flagged
    is_flagged: bool = False
    was_unflagged: bool = False  # at least once
    recovered: bool = False  # was at or above maintenance while flagged
    flag_rule_decided: bool = False  # the flag rule could be applied at least once
    limits_decided: bool = False  # so could the limits


@dataclass(frozen=True)
class Result:
    """What became of one liquidation of history, or of one that history does not have (past None). Times are unix seconds."""

    market: str
    trader: str
    past: PastLiquidation | None
    outcome: str
    candidate: Candidate
    flagged_at: int | None = None
    flag_price: int | None = None
    liquidated_at: int | None = None
    price: int | None = None  # spot price after it
    closed: Closed | None = None
    fee: int | None = None
    equity_at_end: int | None = None


@dataclass(frozen=True)
class PathPoint:
    """An action that moved the pool (`action.pool` in history), and the counterfactual pool after it."""

    action: Action
    pool: Reserves
