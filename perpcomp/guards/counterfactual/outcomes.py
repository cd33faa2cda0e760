"""What the counterfactual keeps of an account while keepers try it, and what it tells in the end."""

from dataclasses import dataclass

from perpcomp.curve import Reserves
from perpcomp.guards.counterfactual.actions import Action, Row
from perpcomp.guards.counterfactual.position import Closed

OUTCOMES = {
    "LIQUIDATED": "liquidated in the event in which it was flagged",
    "FLAGGED_THEN_LIQUIDATED": "liquidated in a later event, or after a recovery",
    "FORCED": "liquidated by an endorsed account, through the guards",
    "FLAGGED": "still flagged at the end",
    "FLAGGED_THEN_RECOVERED": "flagged, and free again",
    "NEVER_FLAGGED": "with earlier liquidations held back its margin ratio never fell below maintenance when it was tried",
    "NO_INDEX": "could not be judged: no index price was known",
    "NO_POSITION": "the position that history liquidated was not there",
    "ELIGIBLE_HERE": "history never liquidated it, and under these rules it could have been: it is not tried",
}


@dataclass
class Case:
    """An account that keepers try to liquidate, and the historical liquidations that wait for it."""

    trader: str
    rows: list[Row]
    flagged_at: int | None = None  # unix seconds
    flag_price: int | None = None
    flag_action: int = -1  # number of the action in which it was flagged
    lifted: bool = False  # was unflagged once
    free: bool = True  # is not flagged
    recovered: bool = False  # was above maintenance while flagged
    judged: bool = False  # the flag rule could decide about it
    priced: bool = False  # so could the limits


@dataclass(frozen=True)
class Result:
    """What became of one liquidation of history, or of one that history does not have (row None)."""

    market: str
    trader: str
    row: Row | None
    outcome: str
    case: Case
    flagged_at: int | None = None
    flag_price: int | None = None
    liquidated_at: int | None = None
    price: int | None = None
    closed: Closed | None = None
    fee: int | None = None
    equity_at_end: int | None = None


@dataclass(frozen=True)
class Step:
    """One action that moved the pool: in history, and here."""

    action: Action
    here: Reserves
