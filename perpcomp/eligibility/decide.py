"""Who is compensated: the published liquidations table, with one reason code and one sentence a row.

The rules (rules.py) are asked in order, and the first that applies names the reason. A life of a position is compensated once, by
its first liquidation that passes all rules: each partial liquidation states the whole margin before it, so adding them up would pay
the same margin several times.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from perpcomp import fixed
from perpcomp.eligibility.rule import Facts, Rule
from perpcomp.eligibility.rules import RULES
from perpcomp.findings import Finding, Level, refusal
from perpcomp.incident.incident import Incident
from perpcomp.systems.units import units
from perpcomp.tables.liquidations import LIQUIDATIONS
from perpcomp.tables.schema import CSV_TIME, check
from perpcomp.window import affected_in_window

LIFE = ["trader", "market", "life"]
# reason_code of a row that no rule takes out -> its sentence
COMPENSATED = {
    "eligible": pl.format("liquidated in {} inside the window by the crash", "market_name"),
    "same-life": pl.lit("the same position was liquidated before in the window: a life is compensated once, by that row"),
}


def decide(liquidations: pl.DataFrame, incident: Incident, drawdowns: Mapping[str, int]) -> tuple[pl.DataFrame, list[Finding]]:
    """The published liquidations table: every liquidation, with eligible, reason_code, reason and compensated_size; and findings.

    `liquidations` are the valued ones. `drawdowns` maps a market to its index drawdown over the window in 1e-18 units, where a rule
    asks for it and the logs hold it. InputError where no liquidation of an affected market lies in the window; it names the nearest.
    """
    _refuse_empty_window(liquidations, incident)
    facts = Facts(incident, drawdowns)
    asked = [rule for rule in RULES if rule.is_asked(incident)]
    judged = liquidations.sort("block_number", "log_index").with_columns(_first_that_applies(asked, facts).alias("reason_code"))
    passing = pl.col("reason_code").is_null()
    first = passing & (passing.cum_sum().over(LIFE) == 1)
    code = pl.when(first).then(pl.lit("eligible")).when(passing).then(pl.lit("same-life")).otherwise("reason_code")
    judged = judged.with_columns(code.alias("reason_code"))
    judged = judged.join(_compensated_sizes(judged, incident), on=["block_number", "log_index"], how="left", maintain_order="left")
    judged = judged.with_columns(
        (pl.col("reason_code") == "eligible").alias("eligible"),
        _sentence(asked, facts).alias("reason"),
    )
    table = check(judged.select(*LIQUIDATIONS.schema), LIQUIDATIONS)
    return table, [*_findings(table, incident), *_traded_between(table)]


def _first_that_applies(asked: Sequence[Rule], facts: Facts) -> pl.Expr:
    """The code of the first rule that takes a row out; null where none does."""
    code = pl.lit(None, dtype=pl.String)
    for rule in reversed(asked):
        code = pl.when(rule.applies(facts)).then(pl.lit(rule.code)).otherwise(code)
    return code


def _sentence(asked: Sequence[Rule], facts: Facts) -> pl.Expr:
    """The reason of each row by its code."""
    sentence = pl.lit(None, dtype=pl.String)
    for code, reason in (*COMPENSATED.items(), *((rule.code, rule.reason(facts)) for rule in asked)):
        sentence = pl.when(pl.col("reason_code") == code).then(reason).otherwise(sentence)
    return sentence


def _compensated_sizes(judged: pl.DataFrame, incident: Incident) -> pl.DataFrame:
    """compensated_size of each life's eligible row: its whole size, or the part that the life's liquidations in the window closed."""
    counted = judged.filter(pl.col("reason_code").is_in(COMPENSATED))
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
    if affected_in_window(liquidations, incident).height:
        return
    affected = liquidations.filter(pl.col("market").is_in([m.amm for m in incident.affected])).sort("block_number", "log_index")
    rules, names = incident.eligibility, ", ".join(m.name for m in incident.affected)
    what = f"No liquidation of {names} lies {'in' if rules.from_block is not None else 'from'} {rules.window}."
    near = []
    for word, rows in (
        ("before", affected.filter(pl.col("block_time") < rules.start).tail(1)),
        ("after", affected.filter(pl.col("block_time") >= rules.end).head(1)),
    ):
        near += [
            f"The nearest {word} it: {time.strftime(CSV_TIME)}, block {block}, tx {transaction}."
            for time, block, transaction in rows.select("block_time", "block_number", "transaction_hash").iter_rows()
        ]
    advice = " ".join(near) or f"The input holds no liquidation of {names} at all. Check the file, and the addresses in the incident file."
    raise refusal(f"{incident.name}.toml [eligibility]", what, advice)


def _findings(table: pl.DataFrame, incident: Incident) -> list[Finding]:
    """What a voter should look at among the eligible rows."""
    findings = []
    withdrew = pl.lit(incident.valuation.at is not None) & pl.any_horizontal(pl.col("margin_removed", "size_reduced") > 0)
    themselves = pl.col("liquidator") == pl.col("trader")
    survived = pl.col("compensated_size") != pl.col("size").abs()
    marked = table.filter("eligible").with_columns(withdrew=withdrew, themselves=themselves, survived=survived)
    for row in marked.filter(pl.any_horizontal("withdrew", "themselves", "survived")).iter_rows(named=True):
        if row["withdrew"]:
            taken = [f"took out {row['margin_removed']:f} {units(incident).quote}"] if row["margin_removed"] else []
            closed = [f"closed {row['size_reduced']:f}"] if row["size_reduced"] else []
            what = f"{row['trader']} {' and '.join(taken + closed)} between the moment of [valuation] and the liquidation."
            advice = "The position of that moment is compensated in full: decide whether that is meant."
            findings.append(_finding("warning", row, what, advice, "trader-withdrew-after-reference"))
        if row["themselves"]:
            what = f"{row['trader']} liquidated their own position."
            findings.append(_finding("note", row, what, "Decide by self_liquidation in [eligibility].", "self-liquidation"))
        if row["survived"]:
            what = (
                f"{row['trader']} kept a part of the position:"
                f" {row['compensated_size']:f} of {abs(row['size']):f} was liquidated and is compensated."
            )
            findings.append(_finding("note", row, what, "Decide by surviving_life in [eligibility].", "part-survived"))
    return findings


def _traded_between(table: pl.DataFrame) -> list[Finding]:
    """A warning where a trader changed the position between two liquidations of a compensated life."""
    follows = table.filter(pl.col("reason_code").is_in(COMPENSATED)).with_columns(pl.col("size_after").shift(1).over(LIFE).alias("left"))
    return [
        _finding(
            "warning",
            row,
            f"{row['trader']} traded between two liquidations: the first left {row['left']:f}, the next began with {row['size']:f}.",
            "Check the share that is compensated.",
            "traded-between-liquidations",
        )
        for row in follows.filter(pl.col("left") != pl.col("size")).iter_rows(named=True)
    ]


def _finding(level: Level, row: dict[str, Any], what: str, what_to_do: str, code: str) -> Finding:
    """A finding on a liquidation."""
    return Finding(level, f"tx {row['transaction_hash']} log {row['log_index']}", what, what_to_do, code=code)
