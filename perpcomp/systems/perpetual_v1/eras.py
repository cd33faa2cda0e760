"""Which of its two meanings a liquidation's PositionChanged has, determined from the data.

The same topic0 changed its meaning with the contracts that brought partial liquidation. Before (era 1) `liquidationPenalty` holds
the margin that remained, from then on (era 2) the margin before a full liquidation, or the fee of a partial one. Dates and addresses
are not used: era_tests.py tests each row by itself, and one change point per chain must explain all of them. `era_rule` names the tests
that determined a row, or else how its era follows from others:

    numbers          no other test decides, but the row's own numbers are impossible in the other era
    inherited        undecided by itself; a row of era 1 follows, or one of era 2 precedes: the chain changes once
    stated           [[chain.code]] of the incident file states the code that ran
    upgraded         the proxy's Upgraded logs: the same code ran at a decided row
    either           both eras give this row the same margin
    unknown          nothing decides: the era and the margin are null, so that nothing is paid by them
"""

from collections.abc import Iterator, Sequence

import polars as pl

from perpcomp.findings import Finding
from perpcomp.incident.chain import Chain, Code
from perpcomp.ingest.raw_frame import LOG_ORDER
from perpcomp.number_text import counted
from perpcomp.systems.perpetual_v1.era_tests import MARGIN_IN_ERA_1, MARGIN_IN_ERA_2, TESTS, run_tests
from perpcomp.systems.perpetual_v1.events import UPGRADED
from perpcomp.systems.perpetual_v1.lives import ORDER

ASSUMED = ("stated", "either", "unknown")  # rules that say nothing about the code that ran
WHAT_DECIDES = (
    "State the code that ran ([[chain.code]] in the incident file, with from_block, meaning, denominator and source) or"
    " liquidation_fee_ratio in [chain], or pull the ClearingHouse's logs from the position's opening on (MarginChanged and Upgraded too)."
)


def tell_eras(
    rows: pl.DataFrame, tables: dict[str, pl.DataFrame], chain: Chain, margin_is_replayed: bool
) -> tuple[pl.DataFrame, list[Finding]]:
    """Liquidation rows (events with REPLAYED columns, in order) with `era`, `era_rule` and `margin_before`; findings.

    `chain` states the ratio to assume where no LiquidationFeeRatioChanged log precedes a row, and the code that ran. margin_is_replayed
    says that the input holds MarginChanged, so that a margin no era explains proves missing logs. Findings that stop payment put every
    amount in doubt; a row whose era is unknown has no margin_before.
    """
    tested, findings = run_tests(rows, tables, chain.liquidation_fee_ratio, margin_is_replayed)
    decided = _with_rules(tested.sort(ORDER).with_columns(LOG_ORDER.alias("place"), stated_era(chain.code).alias("stated")))
    told = _by_others(decided, tables)
    findings += [*_goes_back(decided), *_contradicted(told), *_unknown(told)]
    margin = pl.when(pl.col("era") == 1).then(MARGIN_IN_ERA_1).when(pl.col("era") == 2).then(MARGIN_IN_ERA_2)
    return told.with_columns(margin.alias("margin_before")).drop("place"), findings


def stated_era(code: Sequence[Code]) -> pl.Expr:
    """The meaning that [[chain.code]] states for a row's block; null before its first block."""
    stated = pl.lit(None, dtype=pl.Int64)
    for one in code:
        stated = pl.when(pl.col("block_number") >= one.from_block).then(pl.lit(one.meaning, pl.Int64)).otherwise(stated)
    return stated


def _with_rules(tested: pl.DataFrame) -> pl.DataFrame:
    """`era` and `era_rule` of the rows that a test decides."""
    rules = pl.concat_str([pl.when(pl.col(t).is_not_null()).then(pl.lit(t)) for t in TESTS], separator=", ", ignore_nulls=True)
    era = pl.coalesce("numbers", *TESTS)
    return tested.with_columns(
        era.cast(pl.Int64).alias("era"),
        pl.when(era.is_not_null()).then(pl.when(rules == "").then(pl.lit("numbers")).otherwise(rules)).alias("era_rule"),
    )


def _ends(rows: pl.DataFrame) -> tuple[int | None, int | None]:
    """The places of the last row of era 1 and of the first one of era 2."""
    last, first = rows.filter(era=1).get_column("place").max(), rows.filter(era=2).get_column("place").min()
    return last if isinstance(last, int) else None, first if isinstance(first, int) else None


def _by_others(rows: pl.DataFrame, tables: dict[str, pl.DataFrame]) -> pl.DataFrame:
    """The rows that no test decides, by the decided rows around them, by the incident file, or by the Upgraded logs."""
    last_1, first_2 = _ends(rows)
    place, stated = pl.col("place"), pl.col("stated")
    goes_back = last_1 is not None and first_2 is not None and last_1 > first_2
    nowhere = pl.lit(False)
    before = nowhere if last_1 is None or goes_back else place < last_1
    behind = nowhere if first_2 is None or goes_back else place > first_2
    same_as_1, same_as_2 = _same_code(last_1, first_2, tables)
    undecided = pl.col("era").is_null()
    era = pl.when(before | (stated.is_null() & same_as_1)).then(1).when(behind | (stated.is_null() & same_as_2)).then(2)
    rule = (
        pl.when(before | behind)
        .then(pl.lit("inherited"))
        .when(stated.is_not_null())
        .then(pl.lit("stated"))
        .when(same_as_1 | same_as_2)
        .then(pl.lit("upgraded"))
        .when("same_margin")
        .then(pl.lit("either"))
        .otherwise(pl.lit("unknown"))
    )
    told = rows.with_columns(
        pl.when(undecided).then(era.otherwise(stated)).otherwise("era").cast(pl.Int64).alias("era"),
        pl.when(undecided).then(rule).otherwise("era_rule").alias("era_rule"),
    )
    return told.with_columns(pl.when(pl.col("era_rule") == "either").then(1).otherwise("era").cast(pl.Int64).alias("era"))


def _same_code(last_1: int | None, first_2: int | None, tables: dict[str, pl.DataFrame]) -> tuple[pl.Expr, pl.Expr]:
    """Whether the code at a row ran at the last row of era 1 too, and whether it ran at the first one of era 2, by the Upgraded logs.

    An input without Upgraded logs does not show that the code never changed: they may not have been pulled. The same holds where none
    of them lies between the two eras.
    """
    upgrades = UPGRADED.name in tables and sorted(tables[UPGRADED.name].select(LOG_ORDER.alias("place")).get_column("place"))
    nowhere = pl.lit(False)
    if not upgrades or (last_1 is not None and first_2 is not None and not any(last_1 < one < first_2 for one in upgrades)):
        return nowhere, nowhere
    place = pl.col("place")
    same_as_1 = nowhere if last_1 is None else place < min((one for one in upgrades if one > last_1), default=2**62)
    same_as_2 = nowhere if first_2 is None else place > max((one for one in upgrades if one < first_2), default=-1)
    return same_as_1, same_as_2


def _goes_back(rows: pl.DataFrame) -> Iterator[Finding]:
    last_1, first_2 = _ends(rows)
    if last_1 is None or first_2 is None or last_1 < first_2:
        return
    late, early = (rows.filter(place=place).row(0, named=True) for place in (last_1, first_2))
    what = f"The liquidation is of era 1, after one of era 2 in block {early['block_number']} (tx {early['transaction_hash']})."
    advice = "A chain changes once: the logs are of two deployments, or a test is wrong. Nothing may be paid until this is known."
    yield Finding("error", _where(late), what, advice, True, "era-goes-back")


def _contradicted(rows: pl.DataFrame) -> Iterator[Finding]:
    """An error for the rows whose era is another than [[chain.code]] states. Payment stops where only a stated fee ratio says so."""
    wrong = rows.filter(pl.col("era") != pl.col("stated"))
    for by_ratio, found in wrong.group_by(pl.col("era_rule") == "liquidator-fee", maintain_order=True):
        doubtful = by_ratio[0] and not found.get_column("ratio_is_logged").all()
        row = found.row(0, named=True)
        what = (
            f"[[chain.code]] states the meaning {row['stated']}, but the liquidation is of era {row['era']} ({row['era_rule']});"
            f" {counted(found.height, 'liquidation', 'contradicts', 'contradict')} the statement."
        )
        advice = "Correct from_block or meaning of [[chain.code]]." + (
            " liquidation_fee_ratio of [chain] may be wrong instead: nothing is paid until it is known." if doubtful else ""
        )
        yield Finding("error", _where(row), what, advice, doubtful, "code-statement-contradicted")


def _unknown(rows: pl.DataFrame) -> Iterator[Finding]:
    margins = rows.with_columns(MARGIN_IN_ERA_1.alias("in_1"), MARGIN_IN_ERA_2.alias("in_2"))
    for row in margins.filter(era_rule="unknown").iter_rows(named=True):
        what = (
            "The liquidation's era cannot be determined from the logs: the margin before it was"
            f" {row['in_1']:f} in era 1 and {row['in_2']:f} in era 2. The row has no margin, so nothing is paid by it."
        )
        yield Finding("error", _where(row), what, WHAT_DECIDES, code="era-unknown")


def _where(row: dict[str, object]) -> str:
    return f"tx {row['transaction_hash']} log {row['log_index']}"
