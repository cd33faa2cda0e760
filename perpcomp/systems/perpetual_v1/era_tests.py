"""The tests of a liquidation's era that look at one row, and what they find wrong.

    flags            a part of the position was left, or penalty and bad debt stand together: era 2
    liquidator-fee   the liquidator got the whole fee ratio of the notional: era 1; the half: era 2
    identity         the margin that each era's formula gives, against the margin replayed from earlier logs
    numbers          the row's own bad debt, penalty and fee shortfall are possible in one era only

A fee ratio that the incident file states decides nothing where the logs contradict it.
"""

from collections.abc import Iterator
from decimal import Decimal

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding
from perpcomp.ingest.raw_frame import LOG_ORDER
from perpcomp.number_text import counted
from perpcomp.systems.perpetual_v1.events import LIQUIDATION_FEE_RATIO_CHANGED

PENALTY, BAD_DEBT, REALIZED, FUNDING = (pl.col(n) for n in ("liquidation_penalty", "bad_debt", "realized_pnl", "funding_payment"))
PARTIAL = pl.col("kind") == "partial-liquidation"


# Margin just before, funding not yet taken, by era.
MARGIN_IN_ERA_1 = PENALTY - BAD_DEBT - REALIZED + FUNDING
MARGIN_IN_ERA_2 = pl.when(PARTIAL).then(pl.col("margin") + PENALTY - REALIZED + FUNDING).otherwise(
    # With bad debt nothing of the margin is left to name: the identity of era 1 without its penalty holds in both.
    pl.when(BAD_DEBT > 0).then(-BAD_DEBT - REALIZED + FUNDING).otherwise(PENALTY)
)  # fmt: skip

TESTS = ("flags", "liquidator-fee", "identity")  # as era_rule lists them
PULL = "Pull the ClearingHouse's logs (PositionChanged, PositionLiquidated, MarginChanged) again, from the position's opening on."


def run_tests(
    rows: pl.DataFrame, tables: dict[str, pl.DataFrame], stated_ratio: Decimal | None, margin_is_replayed: bool
) -> tuple[pl.DataFrame, list[Finding]]:
    """The rows with each test's verdict (1, 2 or null); and what contradicts itself."""
    tested = _by_fee(_by_itself(_with_fee_ratio(rows, tables, stated_ratio)))
    findings = []
    by_ratio = ~pl.col("ratio_is_logged")
    others = pl.coalesce("numbers", "flags", "identity")
    contradicts = tested.filter(by_ratio & (pl.col("fee_fits_no_era") | (pl.col("liquidator-fee") != others)))
    confirms = tested.filter(by_ratio & (pl.col("liquidator-fee") == others))
    if contradicts.height and confirms.is_empty():
        findings.append(_wrong_ratio(contradicts.with_columns(others.alias("era"))))
        tested = tested.with_columns(
            pl.when("ratio_is_logged").then("liquidator-fee").alias("liquidator-fee"), pl.col("fee_fits_no_era") & pl.col("ratio_is_logged")
        )
    return tested, findings + list(_row_findings(tested, margin_is_replayed))


def _with_fee_ratio(rows: pl.DataFrame, tables: dict[str, pl.DataFrame], stated: Decimal | None) -> pl.DataFrame:
    """The ratio in force at each row: the last LiquidationFeeRatioChanged before it, or the stated one."""
    changes = tables.get(LIQUIDATION_FEE_RATIO_CHANGED.name)
    logged, at = pl.lit(None, dtype=fixed.AMOUNT).alias("liquidation_fee_ratio"), LOG_ORDER.alias("at")
    if changes is None:
        rows = rows.with_columns(logged)
    else:
        rows = rows.with_columns(at).join_asof(changes.select(at, "liquidation_fee_ratio").sort("at"), on="at").drop("at")
    ratio = pl.col("liquidation_fee_ratio")
    return rows.with_columns(
        pl.coalesce(ratio, pl.lit(stated, dtype=fixed.AMOUNT)).alias("fee_ratio"), ratio.is_not_null().alias("ratio_is_logged")
    )


def _by_itself(rows: pl.DataFrame) -> pl.DataFrame:
    """`flags`, `numbers` and `identity`: what the row and the logs before it decide without a fee ratio.

    In era 1 the penalty is what remained of the margin, so it is 0 beside bad debt. In era 2 a full liquidation's penalty is the margin
    before, so penalty + realized - funding is what remained, or with the other sign the bad debt. In both, the fee that the remaining
    margin does not cover is the shortfall that PositionLiquidated states.
    """
    replayed, paid, shortfall = pl.col("margin_replayed"), pl.col("liquidation_fee"), pl.col("fee_shortfall")
    fits_1, fits_2 = ~PARTIAL & (replayed == MARGIN_IN_ERA_1), replayed == MARGIN_IN_ERA_2
    flags = PARTIAL | ((PENALTY > 0) & (BAD_DEBT > 0))
    left = PENALTY + REALIZED - FUNDING
    may_1 = ~flags & (MARGIN_IN_ERA_1 >= 0)
    may_2 = PARTIAL | ((-left).clip(fixed.amount(0)) == BAD_DEBT)
    lacks_1 = (shortfall == (paid - PENALTY).clip(fixed.amount(0))).fill_null(True)
    lacks_2 = PARTIAL | (shortfall == (paid - left.clip(fixed.amount(0))).clip(fixed.amount(0))).fill_null(True)
    by_all, by_margin = _only(may_1 & lacks_1, may_2 & lacks_2), _only(may_1, may_2)
    return rows.with_columns(
        pl.when(flags).then(2).alias("flags"),
        pl.coalesce(by_all, by_margin).alias("numbers"),
        _only(fits_1, fits_2).alias("identity"),
        (MARGIN_IN_ERA_1 == MARGIN_IN_ERA_2).alias("same_margin"),
        (~may_1 & ~may_2).alias("impossible"),
        (replayed.is_not_null() & ~fits_1 & ~fits_2).alias("fits_no_era"),
    )


def _only(fits_1: pl.Expr, fits_2: pl.Expr) -> pl.Expr:
    """The era that alone fits; null where both or none do."""
    return pl.when(fits_1 & ~fits_2).then(1).when(fits_2 & ~fits_1).then(2)


def _by_fee(rows: pl.DataFrame) -> pl.DataFrame:
    """`liquidator-fee`: the fee against the ratio."""
    whole_fee = fixed.mul(pl.col("position_notional"), pl.col("fee_ratio"))
    # Half of it as the contract halves: an integer division of base units.
    half_fee = (whole_fee.reinterpret(dtype=pl.Int128) // 2).reinterpret(dtype=fixed.AMOUNT)
    paid, tells = pl.col("liquidation_fee"), whole_fee != half_fee
    tested = rows.lazy().with_columns(  # lazily: Polars then computes the product once
        pl.when(tells & (paid == whole_fee)).then(1).when(tells & (paid == half_fee)).then(2).alias("liquidator-fee"),
        (tells & (paid != whole_fee) & (paid != half_fee)).fill_null(False).alias("fee_fits_no_era"),
    )
    return tested.collect()


def _wrong_ratio(rows: pl.DataFrame) -> Finding:
    """The stated fee ratio that no row confirms, with the first row that contradicts it; `era` is what other tests say of a row."""
    row = rows.sort(pl.col("era").is_null(), *("block_number", "log_index")).row(0, named=True)
    part = Decimal(row["liquidation_fee"]) / Decimal(row["position_notional"])
    what = f"liquidation_fee_ratio of [chain] is {row['fee_ratio'].normalize():f}, but the liquidator got {part:.6f} of the notional"
    advice = "Correct liquidation_fee_ratio"
    if row["era"] is not None:
        what += f" in a liquidation of era {row['era']}, where it is {'the whole' if row['era'] == 1 else 'half of the'} ratio"
        advice += f" (this row fits {part * row['era']:.6f})"
    what += f"; {counted(rows.height, 'liquidation', 'contradicts', 'contradict')} the ratio and none confirms it. The eras are determined without it."
    return Finding(
        "error", f"tx {row['transaction_hash']} log {row['log_index']}", what, advice + ", or remove it.", code="fee-ratio-contradicted"
    )


def _row_findings(tested: pl.DataFrame, margin_is_replayed: bool) -> Iterator[Finding]:
    verdicts = (*TESTS, "numbers")
    disagree = pl.min_horizontal(verdicts) != pl.max_horizontal(verdicts)
    odd = tested.filter(disagree | pl.col("fits_no_era") | pl.col("fee_fits_no_era") | pl.col("impossible"))
    for row in odd.iter_rows(named=True):
        where = f"tx {row['transaction_hash']} log {row['log_index']}"
        said = {name: row[name] for name in verdicts if row[name] is not None}
        if len(set(said.values())) > 1:
            what = f"The tests of the liquidation's era disagree: {', '.join(f'{name} says era {era}' for name, era in said.items())}."
            yield Finding("error", where, what, "Nothing may be paid until it is known which is right.", True, "era-contradiction")
        if row["impossible"]:
            what = (
                f"The liquidation's own numbers are impossible in both eras: penalty {row['liquidation_penalty']:f}, bad debt"
                f" {row['bad_debt']:f}, realized profit {row['realized_pnl']:f}, funding {row['funding_payment']:f}."
            )
            advice = "The row is damaged, or of other contracts: pull its logs again. Nothing may be paid until then."
            yield Finding("error", where, what, advice, True, "impossible-numbers")
        if row["fits_no_era"] and margin_is_replayed:
            what = f"No era's formula gives the margin {row['margin_replayed']:f}, with which the previous event ended."
            yield Finding("error", where, what, "A margin change is missing from the logs. " + PULL, True, "margin-fits-no-era")
        if row["fee_fits_no_era"]:
            what = f"The liquidator got {row['liquidation_fee']:f}, neither the whole nor half of {row['fee_ratio']:f} of the notional."
            advice = "Pull LiquidationFeeRatioChanged too, or correct liquidation_fee_ratio in [chain]."
            yield Finding("error", where, what, advice, code="fee-fits-no-era")
