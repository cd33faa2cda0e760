"""The two limits of a market: those that the incident file states, or those that follow from the market's own fees.

The rule (SCCP-293): a liquidation must not move the price by more than the fees of a round trip, or sandwiching it pays. So the limit
of the price impact is the opening fee plus the closing fee, and the limit of the premium is twice that. Perp V1 charges one fee (spread
plus toll) on every trade that is not a liquidation, and each PositionChanged states it.
"""

from collections.abc import Iterable
from decimal import Decimal

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.findings import refusal
from perpcomp.fixed import ONE, from_integer, to_integer
from perpcomp.incident.guards import Limits
from perpcomp.incident.incident import Incident
from perpcomp.number_text import exact

RATIO_STEP = ONE // 10**6  # the contracts' ratios are settings of at most six decimal places
ADVICE = 'Add [[guards.limits]] with market, max_liquidation_delta, max_pd ("none": no limit) and source.'


class Limit(Struct, frozen=True):
    """The two limits of a market as integers of 1e-18 (/1), and their source in words. None: no limit."""

    delta: int | None
    pd: int | None
    source: str

    def blocks(self, impact: int | None, premium: int | None) -> tuple[bool, bool] | None:
        """(the price impact is blocked, the premium is blocked). None where a limit exists but its ratio is unknown.

        A ratio must be strictly below its limit: equality blocks.
        """
        blocked = []
        for limit, ratio in ((self.delta, impact), (self.pd, premium)):
            if limit is not None and ratio is None:
                return None
            blocked.append(limit is not None and ratio is not None and ratio >= limit)
        return blocked[0], blocked[1]


# What `Limit.blocks` answers -> the verdict
BY_LIMITS = {(False, False): "LIQUIDATED", (True, False): "FLAG_ONLY_DELTA", (False, True): "FLAG_ONLY_PD", (True, True): "FLAG_ONLY_BOTH"}
NO_LIMIT = Limit(None, None, "no limit")


def market_limits(markets: Iterable[str], events: pl.DataFrame, incident: Incident) -> dict[str, Limit]:
    """The limits of each market, by address. InputError where the incident states none and the logs state no single fee ratio."""
    stated = {one.market: one for one in incident.guards.limits}
    names = {market.amm: market.name for market in incident.markets}
    found = {}
    for market in markets:
        name = names.get(market, market)
        one = stated.get(name, stated.get(None))
        found[market] = by_fees(name, fee_ratio(market, name, events)) if one is None else stated_limit(one, incident)
    return found


def stated_limit(one: Limits, incident: Incident) -> Limit:
    """The limits that one [[guards.limits]] states."""
    source = f"[[guards.limits]] of {incident.name}.toml: {', '.join(one.source)}"
    if 0 in (one.max_liquidation_delta, one.max_pd):
        source += "; a limit of 0 blocks every liquidation but a forced one"
    return Limit(_integer(one.max_liquidation_delta), _integer(one.max_pd), source)


def by_fees(name: str, fee: int) -> Limit:
    """The limits by SCCP-293 where every trade, opening or closing, pays this fee ratio (integer of 1e-18)."""
    source = f"fees of {name} in the logs, {exact(fee)} a trade: opening + closing fee = {exact(2 * fee)}, premium twice that (SCCP-293)"
    return Limit(2 * fee, 4 * fee, source)


def fee_ratio(market: str, name: str, events: pl.DataFrame) -> int:
    """The fee of a market's trades over their notional (integer of 1e-18), from the events table.

    The largest trade gives the ratio, and every other trade must agree. A fee is the sum of spread and toll, each truncated, so it may
    be one base unit below the truncated product. InputError where no trade pays a fee, or where trades pay different ratios.
    """
    trades = events.filter((pl.col("market") == market) & pl.col("liquidator").is_null()).select(
        "transaction_hash", "log_index", "position_notional", "fee"
    )
    rows = trades.sort("position_notional")
    largest = rows.tail(1).select("position_notional", "fee").rows()
    notional, fee = (to_integer(value) for value in largest[0]) if largest else (0, 0)
    if fee == 0:
        raise refusal(f"market {name}", "No trade in the logs pays a fee, so its limits cannot follow from fees.", ADVICE)
    ratio = nearest_setting(fee, notional)
    expected = fixed.mul(pl.col("position_notional"), fixed.amount(from_integer(ratio)))
    others = rows.filter(~(expected - pl.col("fee")).is_between(fixed.amount(0), fixed.amount("0.000000000000000001")))
    for transaction, log, notional_, fee_ in others.head(1).iter_rows():
        what = (
            f"Its trades pay fees of more than one ratio: the largest trade pays {exact(ratio)}, "
            f"but tx {transaction} log {log} pays {fee_:f} of {notional_:f}."
        )
        raise refusal(f"market {name}", what, ADVICE)
    return ratio


def nearest_setting(part: int, whole: int) -> int:
    """part / whole (both above 0), rounded to the nearest ratio of six decimal places: an integer of 1e-18."""
    steps = ONE // RATIO_STEP
    return (2 * part * steps + whole) // (2 * whole) * RATIO_STEP


def _integer(value: Decimal | None) -> int | None:
    return None if value is None else to_integer(value)
