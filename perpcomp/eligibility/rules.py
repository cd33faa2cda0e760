"""The eligibility rules: each a code, a condition and a sentence."""

from collections.abc import Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.incident.incident import Incident
from perpcomp.tables.schema import CSV_TIME
from perpcomp.window import in_window


def codes(incident: Incident, drawdowns: Mapping[str, int]) -> pl.Expr:
    """The first rule that keeps a row out, as its code; null where none does."""
    rules = incident.eligibility
    affected = [m.amm for m in incident.affected]
    limits = {m.amm: m.crash_below for m in incident.markets if m.crash_below is not None}
    limit = pl.col("market").replace_strict(limits, default=None, return_dtype=fixed.AMOUNT)
    long, leverage = pl.col("side") == "long", pl.col("leverage_at_open")
    in_crash = in_window(incident) & pl.col("market").is_in(affected)
    # A life after one that was liquidated in the window: its trader opened again while prices were falling.
    first_liquidated_life = pl.when(in_crash).then("life").min().over("trader", "market")
    again = pl.col("life") > first_liquidated_life
    opened_inside = (pl.col("opened_at") >= rules.start).fill_null(False)
    leverage_rule = pl.lit(rules.minimum_leverage is not None or rules.maximum_leverage is not None)

    def excluded(policy: str) -> pl.Expr:
        return pl.lit(policy == "exclude")

    asked: list[tuple[str, pl.Expr]] = [
        ("excluded", pl.col("trader").is_in([e.address for e in rules.exclusions])),
        ("other-market", ~pl.col("market").is_in(affected)),
        ("outside-window", ~in_window(incident)),
        ("short-in-rebound", excluded(rules.rebound_shorts) & ~long),
        ("not-by-crash", long & (pl.col("spot_price") >= limit)),
        ("second-life", excluded(rules.second_life) & opened_inside & again),
        ("opened-in-window", excluded(rules.opened_in_window) & opened_inside & ~again),
        ("self-liquidation", excluded(rules.self_liquidation) & (pl.col("liquidator") == pl.col("trader"))),
        ("leverage-unknown", leverage_rule & leverage.is_null()),
    ]
    if rules.minimum_leverage is not None:
        asked.append(("leverage-too-low", leverage < fixed.amount(rules.minimum_leverage)))
    if rules.maximum_leverage is not None:
        asked.append(("leverage-too-high", leverage > fixed.amount(rules.maximum_leverage)))
    asked += [*_before_crash(incident), *_stress(incident, drawdowns)]
    if rules.guard_verdicts:
        asked.append(("guard-verdict", ~pl.col("guard_verdict").is_in(rules.guard_verdicts)))
    codes = pl.lit(None, dtype=pl.String)
    for code, applies in reversed(asked):
        codes = pl.when(applies.fill_null(False)).then(pl.lit(code)).otherwise(codes)
    return codes.alias("reason_code")


def _before_crash(incident: Incident) -> list[tuple[str, pl.Expr]]:
    """Rules on what the position was before the crash."""
    rules, asked = incident.eligibility, list[tuple[str, pl.Expr]]()
    if not rules.by_replay:
        return asked
    was_open = pl.col("size_before_crash") != 0
    asked.append(("not-open-before-crash", ~was_open))
    leverage, price = pl.col("leverage_before_crash"), pl.col("liquidation_price_before_crash")
    if rules.minimum_leverage_before_crash is not None or rules.maximum_leverage_before_crash is not None:
        asked.append(("leverage-before-crash-unknown", leverage.is_null()))
    if rules.minimum_leverage_before_crash is not None:
        asked.append(("leverage-before-crash-too-low", leverage < fixed.amount(rules.minimum_leverage_before_crash)))
    if rules.maximum_leverage_before_crash is not None:
        asked.append(("leverage-before-crash-too-high", leverage > fixed.amount(rules.maximum_leverage_before_crash)))
    if rules.liquidation_price_below is not None:
        asked += [
            ("liquidation-price-unknown", price.is_null()),
            ("liquidation-price-too-high", price >= fixed.amount(rules.liquidation_price_below)),
        ]
    return asked


def _stress(incident: Incident, drawdowns: Mapping[str, int]) -> list[tuple[str, pl.Expr]]:
    """Rules on how far the index fell over the window."""
    rules, asked = incident.eligibility, list[tuple[str, pl.Expr]]()
    if rules.minimum_index_drawdown is None and rules.maximum_index_drawdown is None:
        return asked
    known = {market: fixed.from_integer(fall) for market, fall in drawdowns.items()}
    fall = pl.col("market").replace_strict(known, default=None, return_dtype=fixed.AMOUNT)
    asked.append(("index-unknown", fall.is_null()))
    if rules.minimum_index_drawdown is not None:
        asked.append(("market-not-in-stress", fall < fixed.amount(rules.minimum_index_drawdown)))
    if rules.maximum_index_drawdown is not None:
        asked.append(("market-in-stress", fall > fixed.amount(rules.maximum_index_drawdown)))
    return asked


def sentences(incident: Incident, drawdowns: Mapping[str, int]) -> pl.Expr:
    """The reason in words, by code, with the numbers of the row."""
    rules = incident.eligibility
    window = f"{rules.start.strftime(CSV_TIME)} to {rules.end.strftime(CSV_TIME)}"
    when = pl.col("block_time").dt.strftime(CSV_TIME)
    leverage, leverage_then = _cut("leverage_at_open"), _cut("leverage_before_crash")
    price_then = _cut("liquidation_price_before_crash")
    falls = {market: f"{100 * fixed.from_integer(fall):.2f} %" for market, fall in drawdowns.items()}
    fell = pl.col("market").replace_strict(falls, default="", return_dtype=pl.String)
    reasons = {e.address: f"excluded: {e.reason} (evidence: {e.evidence})" for e in rules.exclusions}
    words: dict[str, pl.Expr] = {
        "eligible": pl.format("liquidated in {} inside the window by the crash", "market_name"),
        "excluded": pl.col("trader").replace_strict(reasons, default="", return_dtype=pl.String),
        "other-market": pl.format("liquidated in {}, which the incident does not name as affected", "market_name"),
        "outside-window": pl.format("liquidated at {}, outside the window " + window, when),
        "short-in-rebound": pl.lit("a short: a falling price does not liquidate it, the rebound did"),
        "not-by-crash": pl.format("liquidated while the spot price stood at {}, not below the crash price", "spot_price"),
        "second-life": pl.format(
            "opened at {}, inside the window, after an earlier position was liquidated there", pl.col("opened_at").dt.strftime(CSV_TIME)
        ),
        "opened-in-window": pl.format("opened at {}, inside the window", pl.col("opened_at").dt.strftime(CSV_TIME)),
        "self-liquidation": pl.lit("the trader liquidated their own position"),
        "leverage-unknown": pl.lit("its opening is not in the logs, so its leverage cannot be tested"),
        "leverage-too-low": pl.format(f"opened with a leverage of {{}}, below {rules.minimum_leverage}", leverage),
        "leverage-too-high": pl.format(f"opened with a leverage of {{}}, above {rules.maximum_leverage}", leverage),
        "not-open-before-crash": pl.lit("this position was not open before the crash"),
        "leverage-before-crash-unknown": pl.lit("what it stood at before the crash is not in the logs, or was under water already"),
        "leverage-before-crash-too-low": pl.format(
            f"stood at a leverage of {{}} before the crash, below {rules.minimum_leverage_before_crash}", leverage_then
        ),
        "leverage-before-crash-too-high": pl.format(
            f"stood at a leverage of {{}} before the crash, above {rules.maximum_leverage_before_crash}", leverage_then
        ),
        "liquidation-price-unknown": pl.lit("its liquidation price before the crash is not in the logs, or it had none"),
        "liquidation-price-too-high": pl.format(
            f"its liquidation price before the crash was {{}}, not below {rules.liquidation_price_below}", price_then
        ),
        "index-unknown": pl.format("how far the index of {} fell is not in the logs", "market_name"),
        "market-not-in-stress": pl.format(
            f"the index of {{}} fell by {{}} over the window, less than {rules.minimum_index_drawdown}", "market_name", fell
        ),
        "market-in-stress": pl.format(
            f"the index of {{}} fell by {{}} over the window, more than {rules.maximum_index_drawdown}", "market_name", fell
        ),
        "guard-verdict": pl.format(
            f"the guards' verdict on it is {{}}; compensated are {', '.join(rules.guard_verdicts)}", "guard_verdict"
        ),
        "same-life": pl.lit("the same position was liquidated before in the window: a life is compensated once, by that row"),
    }
    sentence = pl.lit(None, dtype=pl.String)
    for code, text in words.items():
        sentence = pl.when(pl.col("reason_code") == code).then(text).otherwise(sentence)
    return sentence


def _cut(column: str) -> pl.Expr:
    """An amount as text, cut to two places."""
    return pl.col(column).cast(pl.String).str.replace(r"(\.[0-9]{2})[0-9]*$", "$1")
