"""The table [restore]: giving positions back instead of money."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated

from msgspec import Struct

from perpcomp.incident.description import Key, Table
from perpcomp.incident.kinds import AMOUNT, AMOUNT_OR_ZERO, TEXT, choice
from perpcomp.incident.reader import TableReader
from perpcomp.incident.sources import SOURCE
from perpcomp.incident.valuation import BLOCK_OR_TIME

ORDERS = ("each-alone", "as-liquidated", "largest-first", "smallest-first")


class Pool(Struct, frozen=True):
    """The reserves of one market's AMM, as the file states them."""

    market: Annotated[str, Key(TEXT, "The name of an affected market.", '"BTCUSDC"')]
    quote_reserve: Annotated[Decimal, Key(AMOUNT, "The pool's quote asset.", "250_000_000", unit="quote asset")]
    base_reserve: Annotated[Decimal, Key(AMOUNT, "The pool's base asset.", "5_000", unit="base")]


class Restore(Struct, frozen=True):
    """Giving the same sizes back on the AMM's curve: at which pool, in which order, with which fee (spread, /1, of what is moved).

    at is the block or time whose reserves are taken; pools states them instead, by market name: (quote asset, base).
    """

    at: Annotated[int | datetime | None, Key(BLOCK_OR_TIME, "The block or time whose reserves are taken.", "13_500_366", default=None)]
    pools: Annotated[
        Mapping[str, tuple[Decimal, Decimal]],
        Table(Pool, "states reserves to take instead of those at a block", required=False, many=True, absent=(), name="pool"),
    ]
    order: Annotated[
        str,
        Key(choice(*ORDERS), "In which order positions are opened again; each-alone: each at the same untouched pool.", '"as-liquidated"'),
    ]
    spread: Annotated[Decimal, Key(AMOUNT_OR_ZERO, "The fee of opening again, as a share of the notional.", "0.001", unit="/1")]
    source: Annotated[tuple[str, ...], SOURCE]


def read_restore(table: TableReader) -> Restore | None:
    """The table, with pools by the name of their market; two pools of one market are refused."""
    values = table.values()
    pools = values.get("pools", ())
    for name in sorted({pool.market for pool in pools if [p.market for p in pools].count(pool.market) > 1}):
        table.problem("", f'lists the pool of "{name}" twice.', "Keep one.")
    return table.build(Restore, {**values, "pools": {pool.market: (pool.quote_reserve, pool.base_reserve) for pool in pools}})
