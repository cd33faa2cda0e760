"""The eligibility rules in reading order, one entry each. To add a rule, add an entry here and its key in incident/eligibility.py."""

import polars as pl

from perpcomp import fixed
from perpcomp.eligibility.rule import Facts, Rule
from perpcomp.number_text import cut_column
from perpcomp.tables.schema import CSV_TIME
from perpcomp.window import in_window, may_be_compensated

LEVERAGE = ("minimum_leverage", "maximum_leverage")
LEVERAGE_BEFORE_CRASH = ("minimum_leverage_before_crash", "maximum_leverage_before_crash")
INDEX_DRAWDOWN = ("minimum_index_drawdown", "maximum_index_drawdown")


def _time(column: str) -> pl.Expr:
    return pl.col(column).dt.strftime(CSV_TIME)


def _exclusion(facts: Facts) -> pl.Expr:
    reasons = {one.address: f"excluded: {one.reason} (evidence: {one.evidence})" for one in facts.eligibility.exclusions}
    return pl.col("trader").replace_strict(reasons, default="", return_dtype=pl.String)


def _outside(facts: Facts) -> pl.Expr:
    if facts.eligibility.from_block is None:
        return pl.format(f"liquidated at {{}}, outside the window {facts.eligibility.window}", _time("block_time"))
    return pl.format(f"liquidated in block {{}}, outside the window of {facts.eligibility.window}", "block_number")


def _crash_price(facts: Facts) -> pl.Expr:
    """crash_below of the row's market; null where the market has none."""
    prices = {market.amm: market.crash_below for market in facts.incident.markets if market.crash_below is not None}
    return pl.col("market").replace_strict(prices, default=None, return_dtype=fixed.AMOUNT)


def _opened_inside(facts: Facts) -> pl.Expr:
    """Whether the position was opened after the window began. An earlier rule leaves only liquidations before its end."""
    return pl.col("opened_at") >= facts.eligibility.start


def _opened_again(facts: Facts) -> pl.Expr:
    """Whether an earlier position of the trader in the market was liquidated in the window."""
    return pl.col("life") > pl.when(may_be_compensated(facts.incident)).then("life").min().over("trader", "market")


def _drawdown(facts: Facts) -> pl.Expr:
    """The index drawdown of the row's market; null where the logs do not hold it."""
    known = {market: fixed.from_integer(fall) for market, fall in facts.drawdowns.items()}
    return pl.col("market").replace_strict(known, default=None, return_dtype=fixed.AMOUNT)


def _drawdown_in_percent(facts: Facts) -> pl.Expr:
    falls = {market: f"{100 * fixed.from_integer(fall):.2f} %" for market, fall in facts.drawdowns.items()}
    return pl.col("market").replace_strict(falls, default="", return_dtype=pl.String)


RULES: tuple[Rule, ...] = (
    # who, where and when
    Rule(
        "excluded",
        ("exclusions",),
        applies=lambda facts: pl.col("trader").is_in([one.address for one in facts.eligibility.exclusions]),
        reason=_exclusion,
    ),
    Rule(
        "other-market",
        ("market.affected",),
        applies=lambda facts: ~pl.col("market").is_in([market.amm for market in facts.incident.affected]),
        reason=lambda _: pl.format("liquidated in {}, which the incident does not name as affected", "market_name"),
    ),
    Rule(
        "outside-window",
        ("from_time", "to_time", "from_block", "to_block"),
        applies=lambda facts: ~in_window(facts.incident),
        reason=_outside,
    ),
    Rule(
        "short-in-rebound",
        ("rebound_shorts",),
        applies=lambda _: pl.col("side") != "long",
        reason=lambda _: pl.lit("a short: a falling price does not liquidate it, the rebound did"),
    ),
    Rule(
        "not-by-crash",
        ("market.crash_below",),
        applies=lambda facts: (pl.col("side") == "long") & (pl.col("spot_price") >= _crash_price(facts)),
        reason=lambda _: pl.format("liquidated while the spot price stood at {}, not below the crash price", "spot_price"),
    ),
    Rule(
        "second-life",
        ("second_life",),
        applies=lambda facts: _opened_inside(facts) & _opened_again(facts),
        reason=lambda _: pl.format("opened at {}, inside the window, after an earlier position was liquidated there", _time("opened_at")),
    ),
    Rule(
        "opened-in-window",
        ("opened_in_window",),
        applies=lambda facts: _opened_inside(facts) & ~_opened_again(facts),
        reason=lambda _: pl.format("opened at {}, inside the window", _time("opened_at")),
    ),
    Rule(
        "self-liquidation",
        ("self_liquidation",),
        applies=lambda _: pl.col("liquidator") == pl.col("trader"),
        reason=lambda _: pl.lit("the trader liquidated their own position"),
    ),
    # leverage of the opening trade
    Rule(
        "leverage-unknown",
        LEVERAGE,
        applies=lambda _: pl.col("leverage_at_open").is_null(),
        reason=lambda _: pl.lit("its opening is not in the logs, or its leverage is 1e20 or more, so it cannot be tested"),
    ),
    Rule(
        "leverage-too-low",
        ("minimum_leverage",),
        applies=lambda facts: pl.col("leverage_at_open") < facts.limit("minimum_leverage"),
        reason=lambda facts: pl.format(
            f"opened with a leverage of {{}}, below {facts.eligibility.minimum_leverage}", cut_column("leverage_at_open", 2)
        ),
    ),
    Rule(
        "leverage-too-high",
        ("maximum_leverage",),
        applies=lambda facts: pl.col("leverage_at_open") > facts.limit("maximum_leverage"),
        reason=lambda facts: pl.format(
            f"opened with a leverage of {{}}, above {facts.eligibility.maximum_leverage}", cut_column("leverage_at_open", 2)
        ),
    ),
    # the position before the crash
    Rule(
        "not-open-before-crash",
        (*LEVERAGE_BEFORE_CRASH, "liquidation_price_below"),
        applies=lambda _: pl.col("size_before_crash") == 0,
        reason=lambda _: pl.lit("this position was not open before the crash"),
    ),
    Rule(
        "leverage-before-crash-unknown",
        LEVERAGE_BEFORE_CRASH,
        applies=lambda _: pl.col("leverage_before_crash").is_null(),
        reason=lambda _: pl.lit("what it stood at before the crash is not in the logs, or was under water already, or is 1e20 or more"),
    ),
    Rule(
        "leverage-before-crash-too-low",
        ("minimum_leverage_before_crash",),
        applies=lambda facts: pl.col("leverage_before_crash") < facts.limit("minimum_leverage_before_crash"),
        reason=lambda facts: pl.format(
            f"stood at a leverage of {{}} before the crash, below {facts.eligibility.minimum_leverage_before_crash}",
            cut_column("leverage_before_crash", 2),
        ),
    ),
    Rule(
        "leverage-before-crash-too-high",
        ("maximum_leverage_before_crash",),
        applies=lambda facts: pl.col("leverage_before_crash") > facts.limit("maximum_leverage_before_crash"),
        reason=lambda facts: pl.format(
            f"stood at a leverage of {{}} before the crash, above {facts.eligibility.maximum_leverage_before_crash}",
            cut_column("leverage_before_crash", 2),
        ),
    ),
    Rule(
        "liquidation-price-unknown",
        ("liquidation_price_below",),
        applies=lambda _: pl.col("liquidation_price_before_crash").is_null(),
        reason=lambda _: pl.lit("its liquidation price before the crash is not in the logs, or it had none"),
    ),
    Rule(
        "liquidation-price-too-high",
        ("liquidation_price_below",),
        applies=lambda facts: pl.col("liquidation_price_before_crash") >= facts.limit("liquidation_price_below"),
        reason=lambda facts: pl.format(
            f"its liquidation price before the crash was {{}}, not below {facts.eligibility.liquidation_price_below}",
            cut_column("liquidation_price_before_crash", 2),
        ),
    ),
    # stress of the market's index
    Rule(
        "index-unknown",
        INDEX_DRAWDOWN,
        applies=lambda facts: _drawdown(facts).is_null(),
        reason=lambda _: pl.format("how far the index of {} fell is not in the logs", "market_name"),
    ),
    Rule(
        "market-not-in-stress",
        ("minimum_index_drawdown",),
        applies=lambda facts: _drawdown(facts) < facts.limit("minimum_index_drawdown"),
        reason=lambda facts: pl.format(
            f"the index of {{}} fell by {{}} over the window, less than {facts.eligibility.minimum_index_drawdown}",
            "market_name",
            _drawdown_in_percent(facts),
        ),
    ),
    Rule(
        "market-in-stress",
        ("maximum_index_drawdown",),
        applies=lambda facts: _drawdown(facts) > facts.limit("maximum_index_drawdown"),
        reason=lambda facts: pl.format(
            f"the index of {{}} fell by {{}} over the window, more than {facts.eligibility.maximum_index_drawdown}",
            "market_name",
            _drawdown_in_percent(facts),
        ),
    ),
    # liquidation guards
    Rule(
        "guard-verdict",
        ("guard_verdicts",),
        applies=lambda facts: ~pl.col("guard_verdict").is_in(facts.eligibility.guard_verdicts),
        reason=lambda facts: pl.format(
            f"the guards' verdict on it is {{}}; compensated are {', '.join(facts.eligibility.guard_verdicts)}", "guard_verdict"
        ),
    ),
)
