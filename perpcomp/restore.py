"""Restoring positions: what it costs to open them again on the AMM's curve, in the order that [restore] states.

Opening a long of size s takes s of base out of the pool and adds the quote asset; opening a short does the reverse. The notional is rounded as
the contract does: opening a position moves what closing the opposite one would move. Each opening moves the price for the next, so
the order is a policy. decide/restore_orders.py compares all orders.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl
from msgspec import Struct

from perpcomp import fixed
from perpcomp.curve import Reserves, Reverts, out_price
from perpcomp.findings import Finding
from perpcomp.incident.incident import Incident
from perpcomp.incident.restore import Restore
from perpcomp.systems.replay import Replay
from perpcomp.tables.liquidations import LIQUIDATIONS
from perpcomp.tables.schema import LOG_KEY, check

ALONE = "each-alone"


class Opening(Struct, frozen=True):
    """One restored position: the pool before it, the notional that it moves (quote asset) and the fee. turn is None in the order each-alone."""

    block_number: int
    log_index: int
    turn: int | None
    pool: Reserves
    notional: int
    fee: int


def pools(incident: Incident, replayed: Replay | None) -> dict[str, Reserves]:
    """The pools of the affected markets, by address: stated in [restore], or replayed to its block. A pool that the logs do not give is left out."""
    asked = incident.restore
    found: dict[str, Reserves] = {}
    for market in incident.affected if asked is not None else ():
        assert asked is not None
        if market.name in asked.pools:
            found[market.amm] = Reserves.of(*(fixed.to_integer(amount) for amount in asked.pools[market.name]))
            continue
        assert replayed is not None
        assert asked.at is not None
        block = asked.at if isinstance(asked.at, int) else replayed.block_at(asked.at)
        pool = replayed.pool(market.amm, block)
        if pool is not None:
            found[market.amm] = pool
    return found


def openings(liquidations: pl.DataFrame, at: dict[str, Reserves], restore: Restore, order: str) -> Iterator[Opening]:
    """Open every eligible position of known size again, market by market, in the given order.

    largest-first and smallest-first sort by |size|, ties by address. A position that is larger than the pool is left out.
    """
    listed = _in_order(liquidations.filter(pl.col("eligible") & pl.col("size_at_reference").is_not_null()), order)
    for market, pool in at.items():
        turn = 0
        for row in (row for row in listed if row["market"] == market):
            size = fixed.to_integer(row["size_at_reference"])
            try:
                notional = out_price(-size, pool)
            except Reverts:
                continue
            fee = fixed.mul_integers(notional, fixed.to_integer(restore.spread))
            turn += 1
            yield Opening(row["block_number"], row["log_index"], None if order == ALONE else turn, pool, notional, fee)
            if order != ALONE:
                pool = after(pool, size, notional)


def after(pool: Reserves, size: int, notional: int) -> Reserves:
    """The pool after a position of `size` was opened for `notional`."""
    return Reserves.of(pool.quote + notional if size > 0 else pool.quote - notional, pool.base - size)


def _in_order(known: pl.DataFrame, order: str) -> list[dict[str, Any]]:
    keys = list(LOG_KEY) if order in (ALONE, "as-liquidated") else ["_size", "trader", *LOG_KEY]
    sized = known.select("market", "trader", *LOG_KEY, "size_at_reference", pl.col("size_at_reference").abs().alias("_size"))
    return sized.sort(keys, descending=[key == "_size" and order == "largest-first" for key in keys]).rows(named=True)


def on_curve(
    liquidations: pl.DataFrame, incident: Incident, at: dict[str, Reserves], opened: list[Opening]
) -> tuple[pl.DataFrame, list[Finding]]:
    """The liquidations table with restore_notional and restore_fee by [restore]: null where the row is not compensated.

    Without [restore], the table itself. One finding for each market with an unknown pool, and for each position that cannot be opened.
    """
    if incident.restore is None:
        return liquidations, []
    table = check(with_costs(liquidations, opened), LIQUIDATIONS)
    findings = []
    for market in incident.affected:
        if market.amm not in at:
            what = f"The pool of {market.name} at this block cannot be determined from the logs, so none of its positions can be restored."
            advice = "Fetch every log of the market, or state the pool in [[restore.pool]]."
            findings.append(Finding("warning", f"{incident.name}.toml [restore] at", what, advice, code="restore-pool-unknown"))
    lacking = table.filter(pl.col("eligible") & pl.col("restore_notional").is_null() & pl.col("market").is_in(list(at)))
    for row in lacking.iter_rows(named=True):
        why = "its size is unknown" if row["size_at_reference"] is None else "the pool holds less"
        what = f"The position of {row['trader']} cannot be opened again: {why}. restore-position pays nothing for it."
        where = f"tx {row['transaction_hash']} log {row['log_index']}"
        findings.append(Finding("warning", where, what, "Name another block or pool in [restore].", code="restore-impossible"))
    return table, findings


def with_costs(liquidations: pl.DataFrame, opened: Iterable[Opening]) -> pl.DataFrame:
    """The liquidations table with restore_notional and restore_fee of these openings; null for every other row."""
    costs = openings_frame(opened).select(*LOG_KEY, "restore_notional", "restore_fee")
    return (
        liquidations.drop("restore_notional", "restore_fee")
        .join(costs, on=LOG_KEY, how="left", maintain_order="left")
        .select(*LIQUIDATIONS.schema)
    )


def openings_frame(opened: Iterable[Opening]) -> pl.DataFrame:
    """One row an opening: its log, its turn, the pool before it (quote_reserve, base_reserve), restore_notional and restore_fee."""
    listed = list(opened)
    return pl.DataFrame(
        {
            "block_number": pl.Series([one.block_number for one in listed], dtype=pl.Int64),
            "log_index": pl.Series([one.log_index for one in listed], dtype=pl.Int64),
            "turn": pl.Series([one.turn for one in listed], dtype=pl.Int64),
            "quote_reserve": fixed.from_integers([one.pool.quote for one in listed]),
            "base_reserve": fixed.from_integers([one.pool.base for one in listed]),
            "restore_notional": fixed.from_integers([one.notional for one in listed]),
            "restore_fee": fixed.from_integers([one.fee for one in listed]),
        }
    )
