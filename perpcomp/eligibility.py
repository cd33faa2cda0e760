"""Who is in; and for each one left out, why: one reason code and a sentence.

The rules come from the incident file. They are asked in the order in which they stand in `_codes`; the first that applies names the
reason. A life of a position is compensated once, by its first liquidation that passes all rules: successive partial liquidations
each state the margin before themselves, and adding those up would pay the same margin several times.
"""

from collections.abc import Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding, refusal
from perpcomp.incident import Incident
from perpcomp.tables import CSV_TIME, LEFT_OUT, LIQUIDATIONS, check

LIFE = ["trader", "market", "life"]


def decide(liquidations: pl.DataFrame, incident: Incident, drawdowns: Mapping[str, int]) -> tuple[pl.DataFrame, list[Finding]]:
    """The published liquidations table: every liquidation, with eligible, reason_code, reason and compensated_size.

    `drawdowns` is how far each market's index fell over the window, as far as a rule asks and the logs tell (stress.py). InputError where no liquidation of an affected market lies in the window; it names the nearest ones.
    """
    _refuse_empty_window(liquidations, incident)
    judged = liquidations.sort("block_number", "log_index").with_columns(_codes(incident, drawdowns))
    passing = pl.col("reason_code").is_null()
    first = passing & (passing.cum_sum().over(LIFE) == 1)
    judged = judged.with_columns(pl.when(passing & ~first).then(pl.lit("same-life")).otherwise("reason_code").alias("reason_code"))
    judged = judged.join(_compensated(judged, incident), on=["block_number", "log_index"], how="left", maintain_order="left")
    judged = judged.with_columns(
        pl.col("reason_code").is_null().alias("eligible"),
        pl.col("reason_code").fill_null("eligible"),
    ).with_columns(_sentences(incident, drawdowns).alias("reason"))
    table = check(judged.select(*LIQUIDATIONS.schema), LIQUIDATIONS)
    return table, _findings(table, incident)


def in_window(incident: Incident) -> pl.Expr:
    """Whether a row's block_time lies in the half-open window."""
    window = incident.eligibility
    return (pl.col("block_time") >= window.start) & (pl.col("block_time") < window.end)


def _codes(incident: Incident, drawdowns: Mapping[str, int]) -> pl.Expr:
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


def _compensated(judged: pl.DataFrame, incident: Incident) -> pl.DataFrame:
    """compensated_size of each life's first passing row: all of it, or what this life's liquidations in the window closed of it."""
    counted = judged.filter(pl.col("reason_code").is_null() | (pl.col("reason_code") == "same-life"))
    counted = counted.with_columns((pl.col("size").abs() - pl.col("size_after").abs()).alias("closed"))
    fixed.check_sum(counted, "closed")
    lives = counted.group_by(LIFE, maintain_order=True).agg(
        pl.col("block_number", "log_index").first(),
        pl.col("size").first().abs().alias("whole"),
        pl.col("closed").sum(),
        (pl.col("size_after") == 0).any().alias("ended"),
    )
    whole = pl.col("ended") | pl.lit(incident.eligibility.surviving_life == "whole")
    share = pl.when(whole).then("whole").otherwise(pl.min_horizontal("closed", "whole"))
    return lives.select("block_number", "log_index", share.alias("compensated_size"))


def _sentences(incident: Incident, drawdowns: Mapping[str, int]) -> pl.Expr:
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


def _refuse_empty_window(liquidations: pl.DataFrame, incident: Incident) -> None:
    affected = liquidations.filter(pl.col("market").is_in([m.amm for m in incident.affected])).sort("block_number", "log_index")
    if affected.filter(in_window(incident)).height:
        return
    rules, names = incident.eligibility, ", ".join(m.name for m in incident.affected)
    what = f"No liquidation of {names} lies from {rules.start.strftime(CSV_TIME)} to {rules.end.strftime(CSV_TIME)}."
    near = []
    for word, rows in (
        ("before", affected.filter(pl.col("block_time") < rules.start).tail(1)),
        ("after", affected.filter(pl.col("block_time") >= rules.end).head(1)),
    ):
        near += [
            f"The nearest {word} it: {time.strftime(CSV_TIME)}, block {block}, tx {transaction}."
            for time, block, transaction in rows.select("block_time", "block_number", "transaction_hash").iter_rows()
        ]
    advice = " ".join(near) or f"The input holds no liquidation of {names} at all: is it the right file, and are the addresses right?"
    raise refusal(f"{incident.name}.toml [eligibility]", what, advice)


def _findings(table: pl.DataFrame, incident: Incident) -> list[Finding]:
    """What a voter should look at among the eligible rows."""
    findings = []
    taken_out = pl.lit(incident.valuation.at is not None) & pl.any_horizontal(pl.col("margin_removed", "size_reduced") > 0)
    remarkable = taken_out | (pl.col("liquidator") == pl.col("trader")) | (pl.col("compensated_size") != pl.col("size").abs())
    for row in table.filter(pl.col("eligible") & remarkable).iter_rows(named=True):
        where = f"tx {row['transaction_hash']} log {row['log_index']}"
        if incident.valuation.at is not None and (row["margin_removed"] or row["size_reduced"]):
            what = f"{row['trader']} took out {row['margin_removed'] or 0:f} USDC and closed {row['size_reduced']:f} between the moment of [valuation] and the liquidation."
            findings.append(
                Finding("warning", where, what, "The position of that moment is compensated in full: decide whether that is meant.")
            )
        if row["liquidator"] == row["trader"]:
            findings.append(
                Finding("note", where, f"{row['trader']} liquidated their own position.", "Decide by self_liquidation in [eligibility].")
            )
        if row["compensated_size"] != abs(row["size"]):
            what = f"{row['trader']} kept a part: {row['compensated_size']:f} of {abs(row['size']):f} was liquidated and is compensated."
            findings.append(Finding("note", where, what, "Decide by surviving_life in [eligibility]."))
    follows = table.filter(pl.col("eligible") | (pl.col("reason_code") == "same-life")).with_columns(
        pl.col("size_after").shift(1).over(LIFE).alias("left")
    )
    for row in follows.filter(pl.col("left") != pl.col("size")).iter_rows(named=True):
        what = f"Between two liquidations {row['trader']} traded: {row['left']:f} was left, {row['size']:f} was liquidated next."
        findings.append(
            Finding("warning", f"tx {row['transaction_hash']} log {row['log_index']}", what, "Check the share that is compensated.")
        )
    return findings


def left_out(liquidations: pl.DataFrame, events: pl.LazyFrame, tables: Mapping[str, pl.LazyFrame], incident: Incident) -> pl.DataFrame:
    """The left-out table: every trader with an event in the window who has no eligible liquidation, with one reason.

    liquidations is the published table. A trader whose liquidations in the window all fell to a rule is named with the first of
    them; one who was not liquidated there, with the last event in the window and what was done in it.
    """
    eligible = liquidations.filter("eligible").select("trader").unique()
    named = ["trader", "market", "transaction_hash", "log_index"]
    fallen = liquidations.filter(in_window(incident)).join(eligible, on="trader", how="anti", maintain_order="left")
    fallen = fallen.unique("trader", keep="first", maintain_order=True).select(*named, "reason_code", "reason")

    words = {
        "MarginChanged": "margin change",
        "MarginTransferred": "margin change",
        "PositionAdjusted": "migration",
        "PositionSettled": "settlement",
    }
    seen = [events.select(*named, "block_number", "block_time", "kind", "bad_debt")]
    for name, kind in words.items():
        if name in tables:
            seen.append(
                tables[name].select(
                    *named, "block_number", "block_time", pl.lit(kind).alias("kind"), pl.lit(None, dtype=fixed.AMOUNT).alias("bad_debt")
                )
            )
    known = pl.concat([eligible, fallen.select("trader")]).lazy()
    others = pl.concat(seen).filter(in_window(incident)).join(known, on="trader", how="anti").collect(engine="streaming")
    counts = others.group_by("trader", "kind").len().sort("trader", "kind")
    deeds = counts.group_by("trader").agg(pl.format("{} {}", "len", "kind").sort().str.join(", ").alias("deeds"))
    under_water = pl.col("bad_debt") > 0
    last = (
        others.sort("block_number", "log_index").group_by("trader").agg(pl.col(*named[1:]).last(), under_water.any().alias("under_water"))
    )
    code = pl.when("under_water").then(pl.lit("closed-under-water")).otherwise(pl.lit("not-liquidated"))
    sentence = (
        pl.when("under_water")
        .then(pl.lit("closed a position under water by their own order, which is no liquidation; in the window: "))
        .otherwise(pl.lit("not liquidated in the window; in it: "))
    )
    rest = last.join(deeds, on="trader").select(*named, code.alias("reason_code"), (sentence + pl.col("deeds")).alias("reason"))
    return check(pl.concat([fallen, rest]), LEFT_OUT)
