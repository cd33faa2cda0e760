"""One trader or one transaction, from log to claim, as arithmetic that a reader can recompute.

Each step has the rule in names, their values, and the result. The values put into the rule read as Python over exact fractions, with
trunc(x) cutting x towards zero at the 18th place; evaluating them gives the base units that are paid.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

import polars as pl
from msgspec.structs import replace

from perpcomp.arithmetic import plain, term
from perpcomp.explain.payout import entitlement_steps, payee_steps, payout_steps
from perpcomp.explain.valuation import since_crash_steps, valuation_steps
from perpcomp.findings import closest, refusal
from perpcomp.incident.chain_prefix import without_prefix
from perpcomp.run import RunTables
from perpcomp.steps import HEADING, Row, Step, in_lines, rows_of
from perpcomp.systems.system import find
from perpcomp.systems.units import units
from perpcomp.tables.schema import LOG_KEY


def explain(run: RunTables, who: str) -> list[str]:
    """`steps` as lines for people."""
    return list(in_lines(steps(run, who)))


def steps(run: RunTables, who: str) -> list[Step]:
    """The steps that answer "why this number?" for a trader's address or a transaction hash. InputError where neither is known."""
    try:
        key = without_prefix(who, run.incident.chain.id or None).lower()
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
    if run.incident.published_table is not None and key in {*run.due.outcomes[0].begin.traders, *run.due.owed}:
        return list(_about(key, payout_steps(run, key)))
    mine = rows_of(run.liquidations, **{column: key})
    eligible = dict.fromkeys(row["trader"] for row in mine if row["eligible"])
    for_others = not eligible and bool(rows_of(run.redirected, payee=key))
    if not mine and not for_others:
        return list(_not_liquidated(run, column, key))
    found = list[Step]()
    for row in mine:
        found += _about(row["trader"], _liquidation(run, row), row["transaction_hash"])
    for trader in eligible:
        of_trader = mine if column == "trader" else rows_of(run.liquidations, trader=trader)
        found += _about(trader, payout_steps(run, trader, [row for row in of_trader if row["eligible"]]))
    if for_others:
        heading = Step("paid for others", "paid for others", depth=HEADING)
        found += _about(key, [heading, *payee_steps(run, key)])
    return found


def _about(account: str, steps: Iterable[Step], transaction: str = "") -> Iterator[Step]:
    """The steps with whom they are about, and the transaction that they explain where they name no other."""
    for step in steps:
        yield replace(step, account=step.account or account, transaction=step.transaction or transaction)


def _not_liquidated(run: RunTables, column: str, key: str) -> Iterator[Step]:
    left = run.left_out.filter(pl.col(column) == key)
    seen = run.events.table.filter(pl.col(column) == key)
    for trader, code, reason in left.select("trader", "reason_code", "reason").iter_rows():
        yield Step("not paid", f"not paid: {reason} ({code})", account=trader, depth=HEADING)
    if left.is_empty() and seen.height:
        first, last = seen["block_time"].min(), seen["block_time"].max()
        assert isinstance(first, datetime)
        assert isinstance(last, datetime)
        what = f"was never liquidated in this input; it has {seen.height} position changes from {first:%Y-%m-%d %H:%M:%S} to {last:%Y-%m-%d %H:%M:%S} UTC"
        yield Step("not liquidated", what, account=key, depth=HEADING)
    elif left.is_empty():
        known = run.liquidations.get_column(column).unique().to_list()
        near = closest(key, known)
        advice = f"Did you mean '{near}'?" if near else "No similar address in this input."
        raise refusal(f"'{key}'", f"{key} has no event in this input.", advice)


def _liquidation(run: RunTables, row: Row) -> Iterator[Step]:
    (log,) = rows_of(run.events.table, **{name: row[name] for name in LOG_KEY})
    n = {name: plain(term(value)) for name, value in {**log, **row}.items()}
    part = "in part " if row["partial"] else ""
    what = f"a {row['side']} in {row['market_name']}, liquidated {part}at {row['block_time']:%Y-%m-%d %H:%M:%S} UTC"
    yield Step("position", what, depth=HEADING)
    place = {"block": str(row["block_number"]), "life of the position": str(row["life"]), "liquidator": row["liquidator"]}
    yield Step("liquidation", values=place, transaction=row["transaction_hash"], log=row["log_index"])
    yield from find(run.incident.system).explain_position(run.events.lazy, run.events.lazy_others, row, log, n, units(run.incident).quote)
    yield from since_crash_steps(row, n)
    yield from valuation_steps(run, row, n)
    if not row["eligible"]:
        yield Step("not compensated", f"{row['reason']} ({row['reason_code']})")
        return
    yield Step("compensated", row["reason"])
    yield from entitlement_steps(run, row, n)
