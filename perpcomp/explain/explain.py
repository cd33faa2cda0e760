"""One trader or one transaction, from log to claim, as arithmetic that a reader can recompute.

Each step prints the rule in names, the same with its numbers, and the value. The numbers read as Python over exact fractions, with
trunc(x) cutting x towards zero at the 18th place; evaluating them gives the base units that are paid.
"""

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from perpcomp import arithmetic
from perpcomp.arithmetic import number
from perpcomp.explain.payout import entitlement_steps, payee_steps, payout_steps
from perpcomp.explain.valuation import since_crash_steps, valuation_steps
from perpcomp.findings import closest, refusal
from perpcomp.incident.chain_prefix import without_prefix
from perpcomp.run import Run
from perpcomp.steps import Row
from perpcomp.systems.system import find
from perpcomp.systems.units import units


def explain(run: Run, who: str) -> list[str]:
    """The lines that answer "why this number?" for a trader's address or a transaction hash. InputError where neither is known."""
    try:
        key = without_prefix(who, run.incident.chain.id).lower()
    except ValueError as error:
        what, what_to_do = error.args
        raise refusal(f"'{who}'", f"It {what}", what_to_do) from None
    column = {42: "trader", 66: "transaction_hash"}.get(len(key))
    if column is None or not key.startswith("0x"):
        raise refusal(
            f"'{who}'",
            "This is neither an address (0x and 40 hex digits) nor a transaction hash (0x and 64).",
            "Copy it from 2-liquidations.csv.",
        )
    mine = run.liquidations.filter(pl.col(column) == key)
    for_others = key in run.redirected.get_column("payee") and mine.filter("eligible").is_empty()
    if mine.is_empty() and not for_others:
        return list(_not_liquidated(run, column, key))
    lines = []
    for row in mine.iter_rows(named=True):
        lines += [*_liquidation(run, row), ""]
    for trader in mine.filter("eligible").get_column("trader").unique(maintain_order=True):
        lines += [*payout_steps(run, trader), ""]
    if for_others:
        lines += [f"{key}: paid for others", *payee_steps(run, key), ""]
    return lines[:-1]


def _not_liquidated(run: Run, column: str, key: str) -> Iterator[str]:
    left = run.left_out.filter(pl.col(column) == key)
    seen = run.events.table.filter(pl.col(column) == key)
    for trader, code, reason in left.select("trader", "reason_code", "reason").iter_rows():
        yield f"{trader} is not paid: {reason} ({code})."
    if left.is_empty() and seen.height:
        first, last = seen["block_time"].min(), seen["block_time"].max()
        assert isinstance(first, datetime)
        assert isinstance(last, datetime)
        yield f"{key} was never liquidated in this input. It has {seen.height} position changes from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC."
    elif left.is_empty():
        known = run.liquidations.get_column(column).unique().to_list()
        near = closest(key, known)
        advice = f"Did you mean '{near}'?" if near else "No similar address in this input."
        raise refusal(f"'{key}'", f"{key} has no event in this input.", advice)


def _liquidation(run: Run, row: Row) -> Iterator[str]:
    log = run.events.table.filter((pl.col("block_number") == row["block_number"]) & (pl.col("log_index") == row["log_index"])).row(
        0, named=True
    )
    n = {name: number(arithmetic.term(value)) for name, value in {**log, **row}.items()}
    part = "in part " if row["partial"] else ""
    yield f"{row['trader']}: a {row['side']} in {row['market_name']}, liquidated {part}at {row['block_time']:%Y-%m-%d %H:%M:%S} UTC"
    yield f"  tx {row['transaction_hash']} log {row['log_index']}, block {row['block_number']}, life {row['life']} of this position, by {row['liquidator']}"
    quote = units(run.incident).quote
    yield from find(run.incident.system).explain_position(run.events.lazy, run.events.lazy_others, row, log, n, quote)
    yield from since_crash_steps(row, n)
    yield from valuation_steps(run, row, n)
    if not row["eligible"]:
        yield f"  not compensated: {row['reason']} ({row['reason_code']})"
        return
    yield f"  compensated: {row['reason']}"
    yield from entitlement_steps(run, row, n)
