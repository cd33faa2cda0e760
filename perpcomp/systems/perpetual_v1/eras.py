"""Which of its two meanings a liquidation's PositionChanged has, determined from the data.

The same topic0 changed its meaning with the contracts that brought partial liquidation. Before (era 1) `liquidationPenalty` holds
the margin that remained, from then on (era 2) the margin before a full liquidation, or the fee of a partial one. Dates and addresses
are not used: each row is tested by itself, and one change point per chain must explain all of them.

    flags            a part of the position was left, or penalty and bad debt stand together: era 2
    liquidator-fee   the liquidator got the whole fee ratio of the notional: era 1; the half: era 2
    identity         the margin that each era's formula gives, against the margin replayed from earlier logs
    upgraded         the proxy's Upgraded log: only a hint where the change lies between two decided rows
    inherited        undecided by itself, between rows of one era
    either           undecided, and both eras give this row the same margin
"""

from collections.abc import Iterable

import polars as pl

from perpcomp import fixed
from perpcomp.findings import Finding
from perpcomp.ingest.raw_frame import LOG_ORDER
from perpcomp.systems.perpetual_v1.events import LIQUIDATION_FEE_RATIO_CHANGED, UPGRADED
from perpcomp.systems.perpetual_v1.lives import ORDER

PENALTY, BAD_DEBT, REALIZED, FUNDING = (pl.col(n) for n in ("liquidation_penalty", "bad_debt", "realized_pnl", "funding_payment"))
PARTIAL = pl.col("kind") == "partial-liquidation"

# Margin just before, funding not yet taken, by era.
MARGIN_IN_ERA_1 = PENALTY - BAD_DEBT - REALIZED + FUNDING
MARGIN_IN_ERA_2 = pl.when(PARTIAL).then(pl.col("margin") + PENALTY - REALIZED + FUNDING).otherwise(
    # With bad debt nothing of the margin is left to name: the identity of era 1 without its penalty holds in both.
    pl.when(BAD_DEBT > 0).then(-BAD_DEBT - REALIZED + FUNDING).otherwise(PENALTY)
)  # fmt: skip

TESTS = ("flags", "liquidator-fee", "identity")
PULL = "Pull the ClearingHouse's logs (PositionChanged, PositionLiquidated, MarginChanged) again, from the position's opening on."


def tell_eras(
    rows: pl.DataFrame, tables: dict[str, pl.DataFrame], fee_ratio: pl.Expr, margin_is_replayed: bool
) -> tuple[pl.DataFrame, list[Finding]]:
    """Liquidation rows (events with REPLAYED columns, in order) with `era`, `era_rule` and `margin_before`; findings.

    fee_ratio is the ratio to assume where no LiquidationFeeRatioChanged log precedes a row (a null literal: unknown).
    margin_is_replayed says that the input holds MarginChanged, so that a margin no era explains proves missing logs.
    Every finding of level error here stops payment: the amounts may have another meaning than assumed.
    """
    tested = _test(_with_fee_ratio(rows, tables, fee_ratio))
    findings = list(_row_findings(tested, margin_is_replayed))
    decided = tested.with_columns(pl.coalesce(TESTS).cast(pl.Int64).alias("era"))
    settled, change_findings = _one_change(decided, tables)
    margin = pl.when(pl.col("era") == 1).then(MARGIN_IN_ERA_1).otherwise(MARGIN_IN_ERA_2)
    return settled.with_columns(margin.alias("margin_before")), findings + change_findings


def _with_fee_ratio(rows: pl.DataFrame, tables: dict[str, pl.DataFrame], fee_ratio: pl.Expr) -> pl.DataFrame:
    """The ratio in force at each row: the last LiquidationFeeRatioChanged before it."""
    assumed = fee_ratio.cast(fixed.AMOUNT).alias("assumed_ratio")
    changes = tables.get(LIQUIDATION_FEE_RATIO_CHANGED.name)
    if changes is None:
        return rows.with_columns(assumed).rename({"assumed_ratio": "fee_ratio"})
    at = LOG_ORDER.alias("at")
    joined = rows.with_columns(at, assumed).join_asof(changes.select(at, "liquidation_fee_ratio").sort("at"), on="at")
    return joined.with_columns(pl.coalesce("liquidation_fee_ratio", "assumed_ratio").alias("fee_ratio")).drop("at")


def _test(rows: pl.DataFrame) -> pl.DataFrame:
    """Each test's verdict (1, 2 or null) beside each row."""
    whole_fee = fixed.mul(pl.col("position_notional"), pl.col("fee_ratio"))
    # Half of it as the contract halves: an integer division of base units.
    half_fee = (whole_fee.reinterpret(dtype=pl.Int128) // 2).reinterpret(dtype=fixed.AMOUNT)
    paid = pl.col("liquidation_fee")
    tells = whole_fee != half_fee
    replayed = pl.col("margin_replayed")
    fits_1 = ~PARTIAL & (replayed == MARGIN_IN_ERA_1)
    fits_2 = replayed == MARGIN_IN_ERA_2
    return rows.with_columns(
        pl.when(PARTIAL | ((PENALTY > 0) & (BAD_DEBT > 0))).then(2).alias("flags"),
        pl.when(tells & (paid == whole_fee)).then(1).when(tells & (paid == half_fee)).then(2).alias("liquidator-fee"),
        pl.when(fits_1 & ~fits_2).then(1).when(fits_2 & ~fits_1).then(2).alias("identity"),
        (MARGIN_IN_ERA_1 == MARGIN_IN_ERA_2).alias("same_margin"),
        (replayed.is_not_null() & ~fits_1 & ~fits_2).alias("fits_no_era"),
        (tells & (paid != whole_fee) & (paid != half_fee)).fill_null(False).alias("fee_fits_no_era"),
    )


def _row_findings(tested: pl.DataFrame, margin_is_replayed: bool) -> Iterable[Finding]:
    disagree = pl.min_horizontal(TESTS) != pl.max_horizontal(TESTS)
    for row in tested.filter(disagree | pl.col("fits_no_era") | pl.col("fee_fits_no_era")).iter_rows(named=True):
        where = f"tx {row['transaction_hash']} log {row['log_index']}"
        verdicts = {name: row[name] for name in TESTS if row[name] is not None}
        if len(set(verdicts.values())) > 1:
            said = ", ".join(f"{name} says era {era}" for name, era in verdicts.items())
            yield Finding(
                "error",
                where,
                f"The tests of the liquidation's era disagree: {said}.",
                "Nothing may be paid until it is known which is right.",
                True,
                "era-contradiction",
            )
        if row["fits_no_era"] and margin_is_replayed:
            what = f"No era's formula gives the margin {row['margin_replayed']:f}, with which the previous event ended."
            yield Finding("error", where, what, "A margin change is missing from the logs. " + PULL, True, "margin-fits-no-era")
        if row["fee_fits_no_era"]:
            what = f"The liquidator got {row['liquidation_fee']:f}, neither the whole nor half of {row['fee_ratio']:f} of the notional."
            advice = "Pull LiquidationFeeRatioChanged too, or correct liquidation_fee_ratio in [chain]."
            yield Finding("warning", where, what, advice, code="fee-fits-no-era")


def _one_change(decided: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> tuple[pl.DataFrame, list[Finding]]:
    """One change point from era 1 to era 2, and the undecided rows settled by it."""
    rows = decided.sort(ORDER).with_row_index("n")
    last_1 = rows.filter(pl.col("era") == 1).get_column("n").max()
    first_2 = rows.filter(pl.col("era") == 2).get_column("n").min()
    rules = pl.concat_str([pl.when(pl.col(t).is_not_null()).then(pl.lit(t)) for t in TESTS], separator=", ", ignore_nulls=True)
    rows = rows.with_columns(pl.when(pl.col("era").is_not_null()).then(rules).alias("era_rule"))
    if isinstance(last_1, int) and isinstance(first_2, int) and last_1 > first_2:
        late, early = rows.row(last_1, named=True), rows.row(first_2, named=True)
        what = f"The liquidation is of era 1, after one of era 2 in block {early['block_number']} (tx {early['transaction_hash']})."
        where = f"tx {late['transaction_hash']} log {late['log_index']}"
        advice = "A chain changes once: the logs are of two deployments, or a test is wrong. Nothing may be paid until this is known."
        finding = Finding("error", where, what, advice, True, "era-goes-back")
        return rows.with_columns(pl.col("era").fill_null(1), pl.col("era_rule").fill_null("inherited")).drop("n"), [finding]

    undecided, n = pl.col("era").is_null(), pl.col("n")
    # A row is inherited from the side on which it has a decided neighbour and the change cannot lie between.
    before = n < (rows.height if first_2 is None else last_1) if isinstance(last_1, int) else pl.lit(False)
    behind = n > (-1 if last_1 is None else first_2) if isinstance(first_2, int) else pl.lit(False)
    upgrade = _upgrade_between(rows, last_1, first_2, tables)
    upgraded = pl.lit(False) if upgrade is None else pl.col("block_number") >= upgrade
    era, rule = pl.col("era"), pl.col("era_rule")
    told = rows.with_columns(
        pl.when(~undecided).then(era).when(behind | (~before & upgraded)).then(2).otherwise(1).cast(pl.Int64).alias("era"),
        pl.when(~undecided)
        .then(rule)
        .when(before | behind)
        .then(pl.lit("inherited"))
        .when(pl.lit(upgrade is not None))
        .then(pl.lit("upgraded"))
        .when("same_margin")
        .then(pl.lit("either"))
        .otherwise(pl.lit("unknown"))
        .alias("era_rule"),
    )
    findings = [
        Finding(
            "error",
            f"tx {transaction} log {log}",
            "The liquidation's era cannot be determined from the logs, and the two eras give different margins.",
            PULL,
            stops=True,
            code="era-unknown",
        )
        for transaction, log in told.filter(rule == "unknown").select("transaction_hash", "log_index").iter_rows()
    ]
    return told.drop("n"), findings


def _upgrade_between(rows: pl.DataFrame, last_1: object, first_2: object, tables: dict[str, pl.DataFrame]) -> int | None:
    """The block of the one Upgraded log between the last row of era 1 and the first of era 2, if there is just one."""
    upgrades = tables.get(UPGRADED.name)
    if upgrades is None or not isinstance(last_1, int) or not isinstance(first_2, int):
        return None
    blocks = rows.get_column("block_number")
    between = upgrades.filter(pl.col("block_number").is_between(blocks[last_1] + 1, blocks[first_2])).get_column("block_number").to_list()
    return between[0] if len(between) == 1 else None
