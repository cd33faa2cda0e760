"""A market's two limits: those of the incident file, or else what its own fees give by Synthetix's rule.

The rule (SCCP-293): a liquidation must not move the price by more than the fees of a round trip, or sandwiching it pays. So the limit
of the price impact is the opening fee plus the closing fee, and that of the premium twice as much. Perp V1 charges one fee, spread and
toll together, on every trade that is no liquidation; each PositionChanged states it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import polars as pl

from perpcomp import fixed
from perpcomp.findings import refusal
from perpcomp.fixed import from_integer, to_integer, truncate
from perpcomp.incident.guards import Limits
from perpcomp.incident.incident import Incident
from perpcomp.number_text import exact

PLACES = 10**6  # fee ratios are settings of at most six places: a thousandth of a thousandth
ADVICE = 'Add [[guards.limits]] with market, max_liquidation_delta, max_pd ("none": no limit) and source.'


@dataclass(frozen=True)
class Limit:
    """The two limits in integers of 1e-18, and where they come from in words. None: no limit."""

    delta: int | None
    pd: int | None
    source: str

    def blocks(self, impact: int | None, premium: int | None) -> tuple[bool, bool] | None:
        """(impact fails, premium fails); None where a limit needs a ratio that is not known. The comparison is strict."""
        fails = []
        for limit, ratio in ((self.delta, impact), (self.pd, premium)):
            if limit is not None and ratio is None:
                return None
            fails.append(limit is not None and ratio is not None and ratio >= limit)
        return fails[0], fails[1]


# (the price impact fails, the premium fails) -> the verdict
BY_LIMITS = {(False, False): "LIQUIDATED", (True, False): "FLAG_ONLY_DELTA", (False, True): "FLAG_ONLY_PD", (True, True): "FLAG_ONLY_BOTH"}
NO_LIMIT = Limit(None, None, "no limit")


def limits(markets: Iterable[str], events: pl.DataFrame, incident: Incident) -> dict[str, Limit]:
    """The limits of each market (address), stated or derived. InputError where neither is possible."""
    stated = {one.market: one for one in incident.guards.limits}
    names = {market.amm: market.name for market in incident.markets}
    found = {}
    for market in markets:
        one = stated.get(names.get(market, market), stated.get(None))
        if one is None:
            found[market] = by_fees(names.get(market, market), fee_ratio(market, names.get(market, market), events))
            continue
        found[market] = stated_limit(one, incident)
    return found


def stated_limit(one: Limits, incident: Incident) -> Limit:
    """The limits that a [[guards.limits]] states."""
    words = f"[[guards.limits]] of {incident.name}.toml: {', '.join(one.source)}"
    if 0 in (one.max_liquidation_delta, one.max_pd):
        words += "; a limit of 0 lets nothing pass but a forced liquidation"
    return Limit(_integer(one.max_liquidation_delta), _integer(one.max_pd), words)


def by_fees(name: str, fee: int) -> Limit:
    """Synthetix's rule over a fee of every trade, opening and closing alike."""
    words = f"fees of {name} in the logs, {exact(fee)} a trade: opening + closing fee = {exact(2 * fee)}, premium twice that (SCCP-293)"
    return Limit(2 * fee, 4 * fee, words)


def fee_ratio(market: str, name: str, events: pl.DataFrame) -> int:
    """The part of the notional that the market's trades pay, from the logs: of the largest trade, and all others must agree.

    A fee is spread and toll, each truncated: it may be one base unit below the truncated product of their sum.
    """
    trades = events.filter((pl.col("market") == market) & pl.col("liquidator").is_null()).select(
        "transaction_hash", "log_index", "position_notional", "fee"
    )
    rows = trades.sort("position_notional")
    largest = rows.tail(1).select("position_notional", "fee").rows()
    notional, fee = (to_integer(value) for value in largest[0]) if largest else (0, 0)
    if fee == 0:
        raise refusal(f"market {name}", "No trade in the logs pays a fee, so its limits cannot follow from fees.", ADVICE)
    ratio = truncate(2 * fee * PLACES + notional, 2 * notional) * (fixed.ONE // PLACES)
    expected = fixed.mul(pl.col("position_notional"), fixed.amount(from_integer(ratio)))
    others = rows.filter(~(expected - pl.col("fee")).is_between(fixed.amount(0), fixed.amount("0.000000000000000001")))
    for transaction, log, notional_, fee_ in others.head(1).iter_rows():
        what = f"Its trades pay fees of more than one ratio: {exact(ratio)} of the largest, but tx {transaction} log {log} {fee_:f} of {notional_:f}."
        raise refusal(f"market {name}", what, ADVICE)
    return ratio


def _integer(value: Decimal | None) -> int | None:
    return None if value is None else to_integer(value)
