"""Giving the same positions back: what opening them again costs on the AMM's curve, in which order, and the list in kind.

Opening a long of size s takes s of base out of the pool and adds C of USDC; a short does the reverse. The contract's own rounding
holds: what is moved to open a position is what closing the opposite one would move. Each opening moves the price for the next, so
the order is policy: [restore] states it, and `orders` shows what each of them would come to.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl

from perpcomp import fixed
from perpcomp.curve import Reserves, Reverts, out_price
from perpcomp.findings import Finding
from perpcomp.incident.incident import Incident
from perpcomp.incident.restore import Restore
from perpcomp.systems.replay import Replay
from perpcomp.tables.liquidations import LIQUIDATIONS
from perpcomp.tables.schema import LOG_KEY, check

ALONE = "each-alone"


@dataclass(frozen=True)
class Opening:
    """One position opened again: the pool it is opened on, what that moves (USDC), and the fee. turn is None where each stands alone."""

    block_number: int
    log_index: int
    turn: int | None
    pool: Reserves
    notional: int
    fee: int


def pools(incident: Incident, replayed: Replay | None) -> dict[str, Reserves]:
    """The affected markets' pools that [restore] names, by address, as far as the logs tell them."""
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
    """Every eligible position of known size opened again, market by market, in the order named.

    largest-first and smallest-first go by |size|, ties by address. A position that the pool cannot give is passed over.
    """
    for market, pool in at.items():
        turn = 0
        for row in _in_order(liquidations.filter(pl.col("eligible") & (pl.col("market") == market)), order):
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
    """The pool once a position of `size` was opened for `notional`."""
    return Reserves.of(pool.quote + notional if size > 0 else pool.quote - notional, pool.base - size)


def _in_order(rows: pl.DataFrame, order: str) -> Iterable[dict[str, Any]]:
    known = rows.filter(pl.col("size_at_reference").is_not_null()).with_columns(pl.col("size_at_reference").abs().alias("_size"))
    keys = list(LOG_KEY) if order in (ALONE, "as-liquidated") else ["_size", "trader", *LOG_KEY]
    return known.sort(keys, descending=[key == "_size" and order == "largest-first" for key in keys]).iter_rows(named=True)


def on_curve(
    liquidations: pl.DataFrame, incident: Incident, at: dict[str, Reserves], opened: list[Opening]
) -> tuple[pl.DataFrame, list[Finding]]:
    """The liquidations table with restore_notional and restore_fee by [restore]: null where the row is not compensated.

    Without [restore] the table as it is. A finding for each market whose pool is not known, and each position it cannot give.
    """
    if incident.restore is None:
        return liquidations, []
    table = check(with_costs(liquidations, opened), LIQUIDATIONS)
    findings = []
    for market in incident.affected:
        if market.amm not in at:
            what = f"names a block at which the logs do not tell the pool of {market.name}: nothing of it can be opened again."
            advice = "Pull every log of the market, or state the pool in [[restore.pool]]."
            findings.append(Finding("warning", f"{incident.name}.toml [restore] at", what, advice))
    lacking = table.filter(pl.col("eligible") & pl.col("restore_notional").is_null() & pl.col("market").is_in(list(at)))
    for row in lacking.iter_rows(named=True):
        what = f"{row['trader']}'s position cannot be opened again: "
        what += "its size is not known." if row["size_at_reference"] is None else "the pool does not hold that much."
        advice = "restore-position pays nothing for it; name another block or pool in [restore]."
        findings.append(Finding("warning", f"tx {row['transaction_hash']} log {row['log_index']}", what, advice))
    return table, findings


def with_costs(liquidations: pl.DataFrame, opened: Iterable[Opening]) -> pl.DataFrame:
    costs = openings_frame(opened).select(*LOG_KEY, "restore_notional", "restore_fee")
    return (
        liquidations.drop("restore_notional", "restore_fee")
        .join(costs, on=LOG_KEY, how="left", maintain_order="left")
        .select(*LIQUIDATIONS.schema)
    )


def openings_frame(opened: Iterable[Opening]) -> pl.DataFrame:
    rows = [(o.block_number, o.log_index, o.turn, o.pool.quote, o.pool.base, o.notional, o.fee) for o in opened]
    amounts = ("quote_reserve", "base_reserve", "restore_notional", "restore_fee")
    schema = {**dict.fromkeys((*LOG_KEY, "turn"), pl.Int64()), **dict.fromkeys(amounts, pl.Int128())}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col(*amounts).reinterpret(dtype=fixed.AMOUNT))
