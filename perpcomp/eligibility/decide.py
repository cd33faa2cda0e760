"""Who is in: the published liquidations table, with one reason code and a sentence a row.

The rules come from the incident file (rules.py); the first that applies names the reason. A life of a position is compensated once,
by its first liquidation that passes all rules: successive partial liquidations each state the margin before themselves, and adding
those up would pay the same margin several times.
"""

from collections.abc import Mapping

import polars as pl

from perpcomp import fixed
from perpcomp.eligibility.rules import codes, sentences
from perpcomp.findings import Finding, refusal
from perpcomp.incident.incident import Incident
from perpcomp.tables.liquidations import LIQUIDATIONS
from perpcomp.tables.schema import CSV_TIME, check
from perpcomp.window import in_window

LIFE = ["trader", "market", "life"]


def decide(liquidations: pl.DataFrame, incident: Incident, drawdowns: Mapping[str, int]) -> tuple[pl.DataFrame, list[Finding]]:
    """The published liquidations table: every liquidation, with eligible, reason_code, reason and compensated_size.

    `drawdowns` is how far each market's index fell over the window, as far as a rule asks and the logs tell (stress.py). InputError where no liquidation of an affected market lies in the window; it names the nearest ones.
    """
    _refuse_empty_window(liquidations, incident)
    judged = liquidations.sort("block_number", "log_index").with_columns(codes(incident, drawdowns))
    passing = pl.col("reason_code").is_null()
    first = passing & (passing.cum_sum().over(LIFE) == 1)
    judged = judged.with_columns(pl.when(passing & ~first).then(pl.lit("same-life")).otherwise("reason_code").alias("reason_code"))
    judged = judged.join(_compensated(judged, incident), on=["block_number", "log_index"], how="left", maintain_order="left")
    judged = judged.with_columns(
        pl.col("reason_code").is_null().alias("eligible"),
        pl.col("reason_code").fill_null("eligible"),
    ).with_columns(sentences(incident, drawdowns).alias("reason"))
    table = check(judged.select(*LIQUIDATIONS.schema), LIQUIDATIONS)
    return table, _findings(table, incident)


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
